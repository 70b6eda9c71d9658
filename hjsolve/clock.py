"""How long JAX spent tracing and compiling inside a block, from its own monitoring events."""

import jax.monitoring

_EVENTS = ("/jax/core/compile/jaxpr_to_mlir_module_duration", "/jax/core/compile/backend_compile_duration")


class CompileClock:
    """`with CompileClock() as clock: ...`, then `clock.seconds`: lowering and backend compilation in the block."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "CompileClock":
        jax.monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event in _EVENTS:
            self.seconds += duration_secs

"""A compiled step is the same step: no graph breaks, and no recompilation once it is warm."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# In a process of its own: there the type checker of the tests is not in the way of the compiler
STEPS = """
import sys, torch
from dataclasses import replace
from openjepa.engine import Engine
from tests.tiny import MAE, RUN

run = {"jepa": RUN, "mae": MAE}[sys.argv[1]]
engines = []
for mode in ("off", "on"):
    torch.manual_seed(0)
    made = replace(run, compile=mode, steps=20)
    engines.append(Engine(made, made.objective.build(made.modality), torch.device("cpu"), "float32"))
eager, compiled = engines
assert compiled.forward is not compiled.compute
for step in range(12):
    torch.compiler.set_stance("default" if step < 6 else "fail_on_recompile")
    view = torch.randint(0, 256, (4, 3, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(step))
    batch = run.objective.collate(view, run.modality, 0, step, range(4))
    torch.testing.assert_close(compiled.step(batch, step)[0].loss, eager.step(batch, step)[0].loss, atol=1e-4, rtol=1e-4)
breaks = torch._dynamo.utils.counters["graph_break"]
assert not breaks, dict(breaks)
print("graphs", torch._dynamo.utils.counters["stats"]["unique_graphs"])
"""


@pytest.mark.parametrize("objective", ["jepa", "mae"])
def test_a_compiled_step_neither_breaks_nor_recompiles(objective):
    """Twelve steps whose block sizes change, as eager; the last six may not compile anything."""
    done = subprocess.run([sys.executable, "-c", STEPS, objective], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) <= 3

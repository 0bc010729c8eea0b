"""Every op on device arrays, without a device: on the test double of CuPy, op = op on NumPy.

The double raises on what CuPy raises on (`cupy_double`), so that what passes here needs no
conversion, function or parameter that CuPy lacks.  `tests/gpu` runs the same checks on a GPU.
"""

import pytest
from device_checks import all_cases, compare, doubled, outcome, traced_outcome

from headrace.ops import api as hr

CASES = all_cases()


@pytest.fixture(scope="module")
def wanted():
    """What the CPU gives, computed once; the double's devices are in use afterwards."""
    found = {(module, case.id): outcome(case) for module, case in CASES}
    with doubled():
        yield found


@pytest.mark.parametrize("module", sorted({module for module, _ in CASES}))
def test_ops_give_what_they_give_on_the_cpu(module, wanted):
    wrong = []
    for own, case in CASES:
        if own != module:
            continue
        for scope in (None, "gpu:0", "gpu:1"):
            try:
                with hr.device(scope):
                    compare(case, wanted[own, case.id], outcome(case))
            except Exception as error:
                wrong.append(f"{case.id} in {scope}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", sorted({module for module, _ in CASES}))
def test_traced_ops_do_too(module, wanted):
    wrong = []
    for own, case in CASES:
        if own == module:
            try:
                compare(case, (wanted[own, case.id][0],), (traced_outcome(case),))
            except Exception as error:
                wrong.append(f"{case.id}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)

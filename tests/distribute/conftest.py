"""What tests of several processes share: a local Ray."""

import logging
import os
import warnings

import pytest


@pytest.fixture(scope="session")
def local_ray():
    """The module `ray`, connected to a Ray of two cores that ends with the tests."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"  # of calls in flight when actors are killed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray = pytest.importorskip("ray", reason="needs the extra `ray`")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, namespace="headrace",
                 logging_level=logging.CRITICAL, object_store_memory=512 << 20)  # fmt: skip
    yield ray
    ray.shutdown()

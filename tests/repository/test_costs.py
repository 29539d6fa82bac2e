"""What a start may cost: the host indexes in a fraction of a second, and an idle tick loads no heavy SDK."""

from benchmarks import bench, import_seconds


def test_an_idle_tick_loads_no_sdk_of_a_working_one() -> None:
    """Neither azure.mgmt nor azure.monitor, and it sends nothing; with SQLite no Azure client at all."""
    found = bench.idle_tick()
    assert found["sent"] is None
    assert bench.loaded_heavily(found["modules"]) == []
    assert not [one for one in found["modules"] if one.startswith(("azure.core", "azure.identity", "requests"))]


def test_indexing_loads_no_adapter() -> None:
    """function_app.py alone: azure-functions, and neither our packages nor numpy before the first call."""
    program = "import sys, function_app; print(sorted(sys.modules))"
    loaded = bench.fresh(program)
    for name in ("numpy", "yaml", "azure.core", "controller.tick", "storing"):
        assert f"'{name}'" not in loaded


def test_every_requirement_can_be_measured() -> None:
    assert len(import_seconds.stated()) == 11
    assert import_seconds.seconds("tenacity", bench.sys.executable) > 0

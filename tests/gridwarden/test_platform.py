from gridwarden.config import Config
from gridwarden.kinds import PLATFORM
from gridwarden.platform import CORE, HISTORY, OURSELVES, WEB, own_devices, speaks

TWO = ({"name": "district", "host": "a"}, {"name": "vendor", "host": "b"})


def test_each_part_and_each_broker_is_a_device_of_the_whole_installation() -> None:
    devices = own_devices(Config.model_validate({"broker": TWO, "health": {"every_s": 7}}), ["more", "vendor"])
    brokers = {f"gridwarden:broker:{name}" for name in ("embedded", "district", "vendor", "more")}
    assert set(devices) == {CORE, WEB, HISTORY} | brokers
    for name, device in devices.items():
        assert (device.device_id, device.kind, device.gateway, device.area) == (name, PLATFORM, OURSELVES, "")
        assert device.attributes == {"interval_s": 7}


def test_without_the_embedded_broker_there_is_no_device_for_it() -> None:
    config = Config.model_validate({"broker": TWO, "embedded": {"enabled": False}})
    assert "gridwarden:broker:embedded" not in own_devices(config)


def test_who_does_not_speak_is_no_device() -> None:
    for settings in ({"health": {"every_s": 0}}, {"clock": "replay"}):
        config = Config.model_validate(settings)
        assert not speaks(config)
        assert own_devices(config) == {}

from pathlib import Path

from gridwarden.broker.config_file import Ports, render
from gridwarden.broker.credentials import Credentials

PORTS = Ports("127.0.0.1", 1883, 4222, 8222)


def rendered(ports: Ports = PORTS, store: Path = Path("/data/js")) -> str:
    return render(ports, store, 2**30, 2**20, Credentials("s3cret", "1ngest", {"gw1": "12k", "gw_2": "$2a"}))


def test_only_the_mqtt_port_may_leave_the_machine() -> None:
    text = rendered(Ports("0.0.0.0", 1883, 4222, 8222))  # noqa: S104

    assert 'listen: "127.0.0.1:4222"' in text
    assert 'http: "127.0.0.1:8222"' in text
    assert 'mqtt { listen: "0.0.0.0:1883"' in text


def test_what_protects_acknowledged_messages_is_set() -> None:
    text = rendered()

    assert 'sync_interval: "1000ms"' in text
    assert f"max_file: {2**30}," in text
    assert 'ack_wait: "2s"' in text
    assert "max_ack_pending: 4000" in text
    assert f"max_payload: {2**20}\n" in text
    assert "max_connections: 12000\n" in text


def test_a_gateway_speaks_for_itself_alone() -> None:
    (line,) = [line for line in rendered().splitlines() if '"gw1"' in line]

    assert '"publish": {"allow": ["gridwarden.v1.gw1.>"]}' in line
    assert '"gridwarden.v1.gw1.down", "gridwarden.v1.gw1.down.>"' in line
    assert '"gridwarden.v1.gw1.errors"' in line
    assert 'allowed_connection_types: ["MQTT"]' in line


def test_the_ingester_tells_gateways_of_errors_and_nothing_else_and_the_supervisor_never_speaks_mqtt() -> None:
    ingester, supervisor = (
        next(line for line in rendered().splitlines() if f'user: "{user}"' in line)
        for user in ("ingester", "supervisor")
    )

    assert '"publish": {"allow": ["gridwarden.v1.*.errors"]}' in ingester
    assert 'allowed_connection_types: ["STANDARD"]' in supervisor


def test_everything_a_person_or_a_generator_chose_is_quoted() -> None:
    text = rendered(store=Path('/data/a "b" 数据/js'))

    assert 'password: "12k"' in text
    assert 'password: "$2a"' in text
    assert 'store_dir: "/data/a \\"b\\" 数据/js"' in text

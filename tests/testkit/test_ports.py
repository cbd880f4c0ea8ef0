"""Ports for what tests start: each another one, and none that is in use."""

import socket

from testkit.ports import free_port, free_ports


def test_no_port_is_given_twice():
    given = free_ports(200)
    assert len(set(given)) == 200


def test_a_port_that_is_in_use_is_not_given():
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        assert taken not in free_ports(50)

"""A server that greets as MySQL does, and refuses everyone."""
import socket
import struct
import threading

GREETING = (
    b"\x0a8.0.36\x00" + struct.pack("<I", 7) + b"abcdefgh\x00" + struct.pack("<H", 0xF7DF) + b"\x21"
    + struct.pack("<H", 2) + struct.pack("<H", 0x0008) + bytes([21]) + bytes(10) + b"ijklmnopqrst\x00"
    + b"mysql_native_password\x00"
)
REFUSAL = b"\xff" + struct.pack("<H", 1045) + b"#28000" + b"lab says hello"


def packet(number, body):
    return struct.pack("<I", len(body))[:3] + bytes([number]) + body


def serve(connection):
    connection.settimeout(30)
    try:
        connection.sendall(packet(0, GREETING))
        if connection.recv(4096):
            connection.sendall(packet(2, REFUSAL))
    except OSError:
        pass
    finally:
        connection.close()


listener = socket.create_server(("0.0.0.0", 3306))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

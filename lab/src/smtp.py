"""A mail server that greets, and changes to TLS when it is asked to."""
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])


def serve(connection):
    connection.settimeout(30)
    try:
        connection.sendall(b"220 lab ESMTP\r\n")
        buffer = b""
        while True:
            while b"\r\n" not in buffer:
                data = connection.recv(4096)
                if not data:
                    return
                buffer += data
            line, buffer = buffer.split(b"\r\n", 1)
            word = line.split(b" ")[0].upper()
            if word == b"EHLO":
                connection.sendall(b"250-lab\r\n250 STARTTLS\r\n")
            elif word == b"STARTTLS":
                connection.sendall(b"220 go ahead\r\n")
                connection = context.wrap_socket(connection, server_side=True)
            elif word == b"QUIT":
                connection.sendall(b"221 bye\r\n")
                return
            else:
                connection.sendall(b"250 ok\r\n")
    except OSError:
        pass
    finally:
        connection.close()


listener = socket.create_server(("0.0.0.0", 25))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

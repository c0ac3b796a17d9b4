"""One round with Eclipse Paho: what it publishes comes back, with every QoS and retained."""

import queue
import sys

import paho.mqtt.client as mqtt

version, transport, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
EVENT, NOW = "pika/v1/night/main/event", "pika/v1/night/main/now"
came, done = queue.Queue(), queue.Queue()


def made(client_id):
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, transport=transport
    )
    client.username_pw_set("archiver", "secret")
    if transport == "websockets":
        client.ws_set_options(path="/mqtt")
    client.on_connect = lambda _client, _data, _flags, code, _properties: done.put(str(code))
    client.on_subscribe = lambda _client, _data, _id, codes, _properties: done.put([c.value for c in codes])
    client.on_message = lambda _client, _data, message: came.put(message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert done.get(timeout=20) == "Success"
    return client


client = made("paho")
for qos in (0, 1, 2):
    client.subscribe(EVENT, qos)
    assert done.get(timeout=20) == [qos]
    for sent in (0, 1, 2):
        client.publish(EVENT, f"{qos} {sent} Ołówek", sent).wait_for_publish(20)
        message = came.get(timeout=20)
        assert message.payload.decode() == f"{qos} {sent} Ołówek" and message.qos == min(qos, sent)
client.unsubscribe(EVENT)
client.publish(NOW, "kept", 1, retain=True).wait_for_publish(20)
client.subscribe(NOW, 2)
assert done.get(timeout=20) == [2]
message = came.get(timeout=20)
assert message.retain and message.payload == b"kept"
client.disconnect()
client.loop_stop()
print("ok")

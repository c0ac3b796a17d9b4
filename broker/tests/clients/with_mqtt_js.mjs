// One round with MQTT.js: what it publishes comes back, with every QoS and retained.

import assert from "node:assert";
import { createRequire } from "node:module";

const [version, url, modules] = process.argv.slice(2);
// Where it is installed is not beside this file.
const mqtt = createRequire(`${modules}/`)("mqtt");
const EVENT = "pika/v1/night/main/event";
const NOW = "pika/v1/night/main/now";

const client = await mqtt.connectAsync(
  url,
  {
    protocolId: version === "3" ? "MQIsdp" : "MQTT",
    protocolVersion: Number(version),
    username: "archiver",
    password: "secret",
    reconnectPeriod: 0,
    connectTimeout: 20_000,
  },
  false,
);
const waiting = [];
const came = [];
client.on("message", (topic, payload, packet) => {
  const message = { topic, text: payload.toString(), qos: packet.qos, retain: packet.retain };
  const next = waiting.shift();
  if (next) next(message);
  else came.push(message);
});
const message = () => came.shift() ?? new Promise((resolve) => waiting.push(resolve));

for (const qos of [0, 1, 2]) {
  const [granted] = await client.subscribeAsync(EVENT, { qos });
  assert.equal(granted.qos, qos);
  for (const sent of [0, 1, 2]) {
    await client.publishAsync(EVENT, `${qos} ${sent} Ołówek`, { qos: sent });
    const { text, qos: found } = await message();
    assert.equal(text, `${qos} ${sent} Ołówek`);
    assert.equal(found, Math.min(qos, sent));
  }
}
await client.unsubscribeAsync(EVENT);
await client.publishAsync(NOW, "kept", { qos: 1, retain: true });
await client.subscribeAsync(NOW, { qos: 2 });
const kept = await message();
assert.ok(kept.retain && kept.text === "kept");
await client.endAsync();
console.log("ok");

// Where the token may be sent, by enumeration: each rule from both sides.

import { expect, it } from 'vitest';
import { gatewayAddress } from '../../../service/gateway/gateway-address.ts';

const DISCORD = 'https://discord.com/api';
const PROXY = 'http://rest-proxy.internal:8080/api';
const LOCAL = 'http://127.0.0.1:9000/api';

it.each([
  ['wss://gateway.discord.gg', DISCORD, 'wss://gateway.discord.gg/'],
  ['wss://gateway-us-east1-b.discord.gg/?v=9&encoding=etf', DISCORD, 'wss://gateway-us-east1-b.discord.gg/'],
  ['WSS://GATEWAY.DISCORD.GG:443', DISCORD, 'wss://gateway.discord.gg/'],
  ['wss://gateway.discord.gg', PROXY, 'wss://gateway.discord.gg/'],
  ['wss://rest-proxy.internal/ws', PROXY, 'wss://rest-proxy.internal/ws'],
  ['ws://127.0.0.1:9001/resume', LOCAL, 'ws://127.0.0.1:9001/resume'],
  ['ws://localhost:9001', 'http://localhost:9000', 'ws://localhost:9001/'],
  ['ws://[::1]:9001', 'http://[::1]:9000', 'ws://[::1]:9001/'],
])('trusts %s where the API is %s', (text, apiUrl, address) => {
  expect(gatewayAddress(text, apiUrl)).toBe(address);
});

it.each([
  ['an address without encryption', 'ws://gateway.discord.gg', DISCORD],
  ['http', 'https://gateway.discord.gg', DISCORD],
  ['no scheme', 'gateway.discord.gg', DISCORD],
  ['the domain itself, where no gateway is', 'wss://discord.gg', DISCORD],
  ['a host that only begins so', 'wss://gateway.discord.gg.thief.example', DISCORD],
  ['a host that only ends so', 'wss://thief-discord.gg', DISCORD],
  ['a host with a dot at its end', 'wss://gateway.discord.gg.', DISCORD],
  ['a login', 'wss://gateway.discord.gg@thief.example', DISCORD],
  ['a login for the right host', 'wss://user:word@gateway.discord.gg', DISCORD],
  ['a fragment', 'wss://gateway.discord.gg/#a', DISCORD],
  ['an empty fragment', 'wss://gateway.discord.gg/#', DISCORD],
  ["Discord's own REST host", 'wss://discord.com', DISCORD],
  ["a loopback address where the API is Discord's", 'ws://127.0.0.1:9001', DISCORD],
  ['the proxy without encryption', 'ws://rest-proxy.internal', PROXY],
  ["another host of the proxy's domain", 'wss://gateway.internal', PROXY],
  ['another loopback address', 'ws://127.0.0.2:9001', LOCAL],
  ['nothing', '', DISCORD],
  ['null', null, DISCORD],
  ['a number', 7, DISCORD],
  ['a list', ['wss://gateway.discord.gg'], DISCORD],
  ['more than an address', `wss://gateway.discord.gg/${'a'.repeat(2_048)}`, DISCORD],
])('refuses %s', (_, text, apiUrl) => {
  expect(gatewayAddress(text, apiUrl)).toBeUndefined();
});

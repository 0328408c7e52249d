// Credentials from variables and from Secrets Manager: the real SDK against a fake with its protocol.

import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { credential, parseBrokerLogin, parseTlsLogin, parseToken } from '../../service/credentials.ts';

const LOGIN = { host: 'broker.example', port: 5671, vhost: 'discord', username: 'ingestor', password: 'pass,word:=1' };

let secrets: SecretsManager;
let hidden: string[];
const before = { ...process.env };

beforeEach(async () => {
  secrets = await startSecretsManager();
  Object.assign(process.env, secrets.environment);
  hidden = [];
});

afterEach(async () => {
  process.env = { ...before };
  await secrets.stop();
});

const hide = (text: string) => hidden.push(text);
const tokenOf = (arn: string) => credential({ kind: 'secret', arn }, parseToken, hide);

it('a value of a variable never changes, and is hidden from the log', async () => {
  const source = { kind: 'variable', name: 'DISCORD_BOT_TOKEN', text: 'the-token', value: 'the-token' } as const;
  const token = credential(source, parseToken, hide);
  expect(await token.read()).toBe('the-token');
  expect(await token.refresh()).toBe(false);
  expect(token.from).toBe('DISCORD_BOT_TOKEN');
  expect(hidden).toEqual(['the-token']);
});

describe('a value of a secret', () => {
  it('is read once, and again by refresh alone', async () => {
    const arn = secrets.put('token', 'first');
    const token = tokenOf(arn);
    expect([await token.read(), await token.read()]).toEqual(['first', 'first']);
    expect(secrets.requests).toEqual([`GetSecretValue ${arn}`]);
    expect(await token.refresh()).toBe(false);
    secrets.put('token', 'second');
    expect(await token.read()).toBe('first');
    expect(await token.refresh()).toBe(true);
    expect(await token.read()).toBe('second');
    expect(token.from).toBe(arn);
  });

  it('is hidden from the log before it is used, malformed ones too', async () => {
    const token = tokenOf(secrets.put('token', 'two words'));
    await expect(token.read()).rejects.toThrow();
    secrets.put('token', 'good');
    await token.read();
    expect(hidden).toEqual(['two words', 'good']);
  });

  it.each<[string, (name: string) => string, RegExp]>([
    [
      'that has no value yet',
      (name) => secrets.put(name),
      /it has no value yet, or does not exist\. Put the value into it/,
    ],
    [
      'that does not exist',
      (name) => secrets.put(name, 'x').replace('secret:', 'secret:other-'),
      /does not exist\. Put the value into it/,
    ],
    [
      'that may not be read',
      (name) => {
        const arn = secrets.put(name, 'x');
        secrets.deny(name);
        return arn;
      },
      /cannot be read \(.*not authorized.*\)\. Check its name and secretsmanager:GetSecretValue/,
    ],
    ['that is empty', (name) => secrets.put(name, ''), /expected the bot's token, got an empty secret\. Put the token/],
    ['with spaces in it', (name) => secrets.put(name, 'Bot x'), /expected the token alone, .*got a text with spaces/],
    ['with broken JSON', (name) => secrets.put(name, '{"token": hunter2}'), /expected a JSON object/],
  ])('%s is refused in a sentence with its name', async (_name, put, sentence) => {
    const arn = put('token');
    const refused = tokenOf(arn).read();
    await expect(refused).rejects.toThrow(sentence);
    await expect(refused).rejects.toThrow(arn);
    await expect(refused).rejects.not.toThrow('hunter2');
  });

  it('is read in the region of its ARN, whatever the environment has', async () => {
    process.env.AWS_REGION = 'us-east-1';
    expect(await tokenOf(secrets.put('token', 'x')).read()).toBe('x');
    delete process.env.AWS_REGION;
    expect(await tokenOf(secrets.put('token', 'y')).read()).toBe('y');
  });

  it('of a service that accepts and stays silent is an error after 15 s', async () => {
    const silent = createServer((socket) => socket.on('error', () => undefined).resume());
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const { timeout } = AbortSignal;
    const deadline = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => timeout.call(AbortSignal, 100));
    try {
      await expect(tokenOf(secrets.put('token', 'x')).read()).rejects.toThrow(/cannot be read \(.*abort.*\)/i);
      expect(deadline.mock.calls).toEqual([[15_000]]);
    } finally {
      deadline.mockRestore();
      silent.close();
    }
  });
});

describe('a token', () => {
  it.each([
    ['  abc\n', 'abc'],
    ['{"token": "abc"}', 'abc'],
  ])('%j is read as %j', (text, token) => expect(parseToken(text)).toBe(token));
});

describe('a broker login', () => {
  it.each([
    [
      'amqps://user:p%2Fw%40d@host.example:5672/my%2Fhost',
      { host: 'host.example', port: 5672, vhost: 'my/host', username: 'user', password: 'p/w@d', tls: true },
    ],
    ['amqp://a:b@h/', { host: 'h', port: 5672, vhost: '/', username: 'a', password: 'b', tls: false }],
    [
      'amqp://127.0.0.1',
      { host: '127.0.0.1', port: 5672, vhost: '/', username: 'guest', password: 'guest', tls: false },
    ],
    ['amqp://a:b@[::1]:5673/v', { host: '::1', port: 5673, vhost: 'v', username: 'a', password: 'b', tls: false }],
  ])('%s is an address', (text, login) => {
    expect(parseBrokerLogin(` ${text}\n`)).toEqual(login);
  });

  it.each([
    ['as a template writes it', LOGIN, LOGIN],
    ["with Amazon MQ's endpoint as the host", { ...LOGIN, host: 'amqps://broker.example:5671' }, LOGIN],
    ['with an address of version 6 as the host', { ...LOGIN, host: '::1' }, { ...LOGIN, host: '::1' }],
  ])('is a JSON object %s', (_name, fields, login) => {
    expect(parseBrokerLogin(JSON.stringify(fields))).toEqual({ ...login, tls: true });
  });

  it('with `tls: false` is refused in production', () => {
    const text = JSON.stringify({ ...LOGIN, tls: false });
    expect(parseBrokerLogin(text).tls).toBe(false);
    expect(() => parseTlsLogin(text)).toThrow(/expected amqps:\/\/ in production, got a login without TLS/);
    expect(() => parseTlsLogin('amqp://a:b@h')).toThrow(/without TLS/);
    expect(parseTlsLogin(JSON.stringify(LOGIN)).tls).toBe(true);
  });

  it.each([
    ['{}', /expected the fields host, port, vhost, username, password, got none for host, port, vhost/],
    [JSON.stringify({ ...LOGIN, password: '' }), /got none for password$/],
    ['{"password": "hunter2"', /expected a JSON object/],
    ['hunter2', /got no address/],
    ['amqps://u:hunter2@', /got no (host|address)/],
    ['amqps://u:hunter2%@h', /got a '%' without/],
    ['amqps://:hunter2@h', /only one of user and password/],
  ])('%s is refused in a sentence without the password', (text, sentence) => {
    expect(() => parseBrokerLogin(text)).toThrow(sentence);
    expect(() => parseBrokerLogin(text)).not.toThrow(/hunter2/);
  });
});

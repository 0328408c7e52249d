// Credentials from variables and from Secrets Manager: the real SDK against a fake with its protocol.

import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager.ts';
import { credential, parseBrokerLogin, parseTlsLogin, parseToken } from '../../service/credentials.ts';
import { httpServer, silentServer } from '../support/fake-servers.ts';

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
const NAME = 'DISCORD_BOT_TOKEN_SECRET_ARN';
const tokenOf = (arn: string) => credential({ kind: 'secret', name: NAME, arn }, parseToken, hide);

async function expectRefused(arn: string, sentence: RegExp): Promise<void> {
  const refused = tokenOf(arn).read();
  await expect(refused).rejects.toThrow(sentence);
  await expect(refused).rejects.toThrow(`the secret of ${NAME}: `);
  await expect(refused).rejects.not.toThrow(/arn:|hunter2|aHVu/);
}

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
    secrets.put('token', 'second');
    expect([await token.refresh(), await token.refresh()], 'another version with the same text').toEqual([true, false]);
    expect(token.from).toBe(`the secret of ${NAME}`);
  });

  it('is hidden from the log before it is used, malformed ones too', async () => {
    const token = tokenOf(secrets.put('token', 'two words'));
    await expect(token.read()).rejects.toThrow();
    secrets.put('token', 'good');
    await token.read();
    secrets.put('token', '{"token": " spaced "}');
    await token.refresh();
    expect(hidden).toEqual(['two words', 'good', '{"token": " spaced "}', 'spaced']);
  });

  it.each<[string, (name: string) => string, RegExp]>([
    ['that has no value', (name) => secrets.put(name), /it has no value yet, or does not exist\. Put the value into/],
    [
      'that may not be read',
      (name) => {
        const arn = secrets.put(name, 'x');
        secrets.deny(name);
        return arn;
      },
      /cannot be read \(.*not authorized.*\)\. Check its name and secretsmanager:GetSecretValue/,
    ],
    ['with broken JSON', (name) => secrets.put(name, '{"token": hunter2}'), /expected a JSON object/],
  ])('%s is refused in a sentence with its variable', async (_name, put, sentence) => {
    await expectRefused(put('token'), sentence);
  });

  it('is read in the region of its ARN, whatever the environment has', async () => {
    process.env.AWS_REGION = 'us-east-1';
    expect(await tokenOf(secrets.put('token', 'x')).read()).toBe('x');
    delete process.env.AWS_REGION;
    expect(await tokenOf(secrets.put('token', 'y')).read()).toBe('y');
  });

  it.each<[string, object, RegExp]>([
    ['bytes alone', { SecretBinary: 'aHVudGVyMg==' }, /expected a text, got a binary value\. Put it in as a text/],
    ['a number', { SecretString: 5 }, /expected a text/],
    [
      'all that Secrets Manager takes',
      { SecretString: 'x'.repeat(65_536) },
      /got 65536 characters\. Put the token alone/,
    ],
    ['more than Secrets Manager takes', { SecretString: 'x'.repeat(65_537) }, /at most 65536 characters, got 65537/],
  ])('that is %s is refused in a sentence with its variable', async (_, answer, sentence) => {
    const { port, close } = await httpServer(200, 'application/x-amz-json-1.1', JSON.stringify(answer));
    onTestFinished(close);
    process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = `http://127.0.0.1:${port}`;
    await expectRefused(secrets.put('token', 'x'), sentence);
  });

  it('of a service that accepts and stays silent is an error after 15 s', async () => {
    const { port, close } = await silentServer();
    onTestFinished(close);
    process.env.AWS_ENDPOINT_URL_SECRETS_MANAGER = `http://127.0.0.1:${port}`;
    const { timeout } = AbortSignal;
    const deadline = vi.spyOn(AbortSignal, 'timeout').mockImplementation(() => timeout.call(AbortSignal, 100));
    onTestFinished(() => deadline.mockRestore());
    await expect(tokenOf(secrets.put('token', 'x')).read()).rejects.toThrow(/cannot be read \(.*abort.*\)/i);
    expect(deadline.mock.calls).toEqual([[15_000]]);
  });
});

describe('a token', () => {
  it.each([
    ['  abc\n', 'abc'],
    ['\ufeffabc\r\n', 'abc'],
    ['{"token": "abc"}', 'abc'],
    ['\ufeff{"token": " abc\\n", "other": 5}\n', 'abc'],
    ['MTIz.a-b_c.d+/=~', 'MTIz.a-b_c.d+/=~'],
    ['x'.repeat(500), 'x'.repeat(500)],
  ])('%j is read as %j', (text, token) => expect(parseToken(text)).toBe(token));

  it.each<[string, RegExp]>([
    ['', /^expected the bot's token, got an empty secret\. Put the token into it$/],
    ['{"token": ""}', /an empty secret/],
    ['{"token": 1234567}', /a JSON object with a number in the field token/],
    ['{"token": ["hunter2"]}', /a JSON object with a list in the field token/],
    ['{"Token": "hunter2"}', /a JSON object with nothing in the field token/],
    ['{hunter2', /a text that starts with \{ and is not JSON/],
    ['["hunter2"]', /quotation marks/],
    ['Bot hunter2', /"Bot " before it\. Remove that/],
    ['{"token": "Bot hunter2"}', /"Bot " before it/],
    ['"hunter2"', /quotation marks/],
    ["'hunter2'", /quotation marks/],
    ['hunter2\u200b', /the character U\+200B in it\. Copy it again/],
    ['hunter2\u0000', /the character U\+0000/],
    ['hunter2😀', /the character U\+1F600/],
    ['hunter2\nhunter2', /a line end in it/],
    ['hunter2 hunter2', /a space in it/],
    ['hunter2\\n', /a backslash in it/],
    [`${'hunter2'.repeat(71)}abcd`, /501 characters\. Put the token alone into it/],
  ])('%j is refused in a sentence without the token', (text, sentence) => {
    expect(() => parseToken(text)).toThrow(sentence);
    expect(() => parseToken(text)).not.toThrow(/hunter2|1234567/);
  });
});

describe('a broker login', () => {
  it.each([
    ['amqps://user:p%2Fw%40d@host.example:5672/my%2Fhost', ['host.example', 5672, 'my/host', 'user', 'p/w@d', true]],
    ['amqps://a:b@h/', ['h', 5671, '/', 'a', 'b', true]],
    ['amqp://127.0.0.1', ['127.0.0.1', 5672, '/', 'guest', 'guest', false]],
    ['amqp://a:b@[::1]:5673/v', ['::1', 5673, 'v', 'a', 'b', false]],
  ])('%s is an address', (text, login) => {
    const { host, port, vhost, username, password, tls } = parseBrokerLogin(` ${text}\n`);
    expect([host, port, vhost, username, password, tls]).toEqual(login);
  });

  it.each([
    ['as a template writes it', LOGIN, LOGIN],
    ["with Amazon MQ's endpoint as the host", { ...LOGIN, host: 'amqps://broker.example:5671' }, LOGIN],
    ['with one in brackets, and a port', { ...LOGIN, host: '[::1]:5671' }, { ...LOGIN, host: '::1' }],
    ['with a port as a text', { ...LOGIN, port: ' 5671 ' }, LOGIN],
    ["with fields that are not the service's", { ...LOGIN, engine: 'rabbitmq', tls: true }, LOGIN],
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
    ...(['host', 'port', 'vhost', 'username', 'password'] as const).flatMap((field) =>
      [5.25, ['hunter2']].map((value): [string, RegExp] => [
        JSON.stringify({ ...LOGIN, [field]: value }),
        new RegExp(`^the field ${field}: expected a?.*, got (5\\.25|a number|a list)`),
      ]),
    ),
    ...[0, 65_536, 1.5, 'hunter2', '', '5671x'].map((port): [string, RegExp] => [
      JSON.stringify({ ...LOGIN, port }),
      port === ''
        ? /got none for port/
        : /^the field port: expected a TCP port from 1 to 65535, got (another text|-?[\d.e+]+)/,
    ]),
    ...['hunter2 hunter2', 'amqps://u:hunter2@host', 'host/path', '[::1'].map((host): [string, RegExp] => [
      JSON.stringify({ ...LOGIN, host }),
      /^the field host: expected the name or the address of a host, got another text/,
    ]),
    ...['no', 1].map((tls): [string, RegExp] => [
      JSON.stringify({ ...LOGIN, tls }),
      /^the field tls: expected true or false/,
    ]),
    [JSON.stringify({ ...LOGIN, vhost: 'x'.repeat(256) }), /^the field vhost/],
    ['amqps://u:hunter2@h/v?heartbeat=0', /that is not encoded/],
    ['amqps://u:1#hunter2@h', /(not encoded|no address)/],
    ['amqps://u:hunter2%@h', /got a '%' without/],
    ['amqps://:hunter2@h', /only one of user and password/],
  ])('%s is refused in a sentence without the password', (text, sentence) => {
    expect(() => parseBrokerLogin(text)).toThrow(sentence);
    expect(() => parseBrokerLogin(text)).not.toThrow(/hunter2/);
  });
});

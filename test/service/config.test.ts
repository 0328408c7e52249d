// The environment of the service: its defaults, and the fault of each value that is refused.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../service/config.ts';
import { BOUNDS } from '../../service/contract/limits.ts';
import { ENV } from '../../service/contract/names.ts';
import { ConfigError } from '../../service/errors.ts';
import { DEFAULT_EVENTS } from '../../service/events/choice.ts';

const TOKEN = 'MTIzNDU2Nzg5.token';
const BROKER = 'amqps://ingestor:pass%2Fword@broker.example:5671/discord';
const ARN = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:ingestor-AbCdEf';
const CREDENTIALS = { [ENV.discordBotToken]: TOKEN, [ENV.rabbitmqUrl]: BROKER };
const LOGIN = {
  host: 'broker.example',
  port: 5671,
  vhost: 'discord',
  username: 'ingestor',
  password: 'pass/word',
  tls: true,
};

function faultsOf(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  try {
    parseConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

it('the defaults are those of the documentation', () => {
  expect(parseConfig(CREDENTIALS)).toEqual({
    production: false,
    environment: 'local',
    events: {
      choice: { dispatches: new Set(DEFAULT_EVENTS), wholeGuilds: false },
      optIns: { messageContent: false, botMessages: false, directMessages: false },
    },
    discord: {
      token: { kind: 'variable', name: ENV.discordBotToken, text: TOKEN, value: TOKEN },
      apiUrl: 'https://discord.com/api',
      intents: GatewayIntentBits.Guilds | GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildMessages,
      compression: 'none',
      shardCount: 1,
      shardsPerTask: 16,
    },
    broker: {
      login: { kind: 'variable', name: ENV.rabbitmqUrl, text: BROKER, value: LOGIN },
      caFile: undefined,
    },
    outbox: { maxEvents: 100_000, maxBytes: 67_108_864 },
    memoryThreshold: 0.75,
    http: { port: 8080, host: '127.0.0.1' },
    logLevel: 'info',
    metricsNamespace: 'DiscordIngestor',
  });
});

it('an empty variable, which a template may leave, is an absent one', () => {
  const empty = Object.fromEntries(Object.values(ENV).map((name) => [name, '']));
  expect(parseConfig({ ...empty, ...CREDENTIALS })).toEqual(parseConfig(CREDENTIALS));
});

it('each variable is read', () => {
  const config = parseConfig({
    ...{ [ENV.nodeEnv]: 'production', [ENV.environment]: 'staging', [ENV.memoryThreshold]: '0.9' },
    ...{ [ENV.discordBotTokenSecretArn]: `${ARN}1`, [ENV.rabbitmqSecretArn]: `${ARN}2` },
    ...{ [ENV.rabbitmqCaFile]: '/etc/ca.pem', [ENV.discordApiUrl]: 'http://127.0.0.1:8081/api/' },
    ...{ [ENV.shardCount]: 'auto', [ENV.shardsPerTask]: '8', [ENV.gatewayCompression]: 'zlib-stream' },
    ...{ [ENV.events]: 'typing, GUILD_UPDATE', [ENV.initialPresence]: '{"status":"idle"}' },
    ...{ [ENV.forwardMessageContent]: 'true', [ENV.forwardBotMessages]: 'true', [ENV.forwardDirectMessages]: 'true' },
    [ENV.gatewayIntents]: ' Guilds , GuildMessageTyping,DirectMessageTyping,MessageContent',
    ...{ [ENV.outboxMaxEvents]: '500', [ENV.outboxMaxBytes]: '1048576', [ENV.port]: '0', [ENV.host]: '0.0.0.0' },
    ...{ [ENV.logLevel]: 'debug', [ENV.metricsNamespace]: 'Mine' },
  });
  expect(config).toEqual({
    ...{ production: true, environment: 'staging', memoryThreshold: 0.9, logLevel: 'debug', metricsNamespace: 'Mine' },
    events: {
      choice: { dispatches: new Set(['TYPING_START', 'GUILD_UPDATE']), wholeGuilds: false },
      optIns: { messageContent: true, botMessages: true, directMessages: true },
    },
    discord: {
      token: { kind: 'secret', name: ENV.discordBotTokenSecretArn, arn: `${ARN}1` },
      apiUrl: 'http://127.0.0.1:8081/api',
      intents: 1 | 2048 | 16384 | 32768,
      initialPresence: { status: 'idle', since: null, activities: [], afk: false },
      ...{ compression: 'zlib-stream', shardCount: 'auto', shardsPerTask: 8 },
    },
    broker: { login: { kind: 'secret', name: ENV.rabbitmqSecretArn, arn: `${ARN}2` }, caFile: '/etc/ca.pem' },
    outbox: { maxEvents: 500, maxBytes: 1_048_576 },
    http: { port: 0, host: '0.0.0.0' },
  });
});

it.each<[keyof typeof ENV, string, object, number]>([
  ['events', 'typing, GUILD_UPDATE', {}, 2048 | 1],
  ['forwardMessageContent', 'true', { messageContent: true }, 32768 | 515],
  ['forwardBotMessages', 'true', { botMessages: true }, 515],
  ['forwardDirectMessages', 'true', { directMessages: true }, 4096 | 515],
])('the intents follow from %s=%s', (variable, text, optIns, intents) => {
  const config = parseConfig({ ...CREDENTIALS, [ENV[variable]]: text });
  expect(config).toMatchObject({ events: { optIns }, discord: { intents } });
});

it.each(Object.keys(BOUNDS) as (keyof typeof BOUNDS)[])('%s is refused outside its bounds', (setting) => {
  const { least, most } = BOUNDS[setting];
  const step = setting === 'memoryThreshold' ? 0.01 : 1;
  const faults = (value: number) => faultsOf({ ...CREDENTIALS, [ENV[setting]]: String(value) });
  for (const value of [least + step, most]) expect(faults(value)).toEqual([]);
  for (const value of [least - step, most + step])
    expect(faults(value)).toEqual([expect.stringMatching(`^${ENV[setting]}: expected .* got '${value}'`)]);
  expect(faults(least)).toHaveLength(setting === 'memoryThreshold' ? 1 : 0);
});

describe('a bad value is refused by the name of its variable, with what was expected', () => {
  it.each<[keyof typeof ENV, string, RegExp]>([
    ['discordBotToken', 'Bot abc', /the bot's token, got one with "Bot " before it\. Remove that/],
    ['discordApiUrl', 'discord.com/api', /http or https address such as 'https:\/\/discord\.com\/api', got none/],
    ['discordApiUrl', 'wss://gateway.discord.gg', /got one that starts with 'wss:'/],
    ['discordApiUrl', 'https://discord.com/api/v10', /got one that ends in '\/v10'\. Remove that/],
    ['discordApiUrl', 'https://discord.com/api?v=10', /got one with '\?' or '#'/],
    ['discordApiUrl', 'https://discord.com/api#x', /got one with '\?' or '#'/],
    ['discordApiUrl', 'https://user:hunter2@proxy.example/api', /got one with a login\. Remove it$/],
    ['rabbitmqUrl', 'broker.example', /amqps:\/\/user:password@host:5671\/vhost.*no address/],
    ['shardCount', '2.5', /a number of shards, or 'auto', from 1 to 10000, got '2.5'/],
    ['gatewayIntents', 'Guilds,Everything', /got 'Everything'\. Known: .*GuildMembers/],
    ['gatewayIntents', 'amqps://user:password@host', /got 26 characters that are none\. Known/],
    [
      'gatewayIntents',
      'Guilds,GuildMembers,GuildMessages,MessageContent',
      /refused without FORWARD_MESSAGE_CONTENT=true/,
    ],
    ['events', 'interactions,READY', /READY is about the session itself/],
    ['events', 'message', /got 'message'\. The nearest is messages/],
    ['forwardMessageContent', 'yes', /one of true, false, got 'yes'/],
    ['initialPresence', 'online', /Discord's presence as JSON, such as \{"status":"online"\}, got no JSON$/],
    ['initialPresence', '{"status":"busy"}', /a presence that Discord takes, got one that is faulty: status: /],
    ['gatewayCompression', 'zstd-stream', /one of none, zlib-stream, got 'zstd-stream'/],
    ['outboxMaxEvents', '1e3', /got '1e3'/],
    ['memoryThreshold', 'three quarters', /above 0 and up to 1, such as '0.75', got 'three quarters'/],
    ['memoryThreshold', '1.01', /above 0 and up to 1, such as '0.75', got '1.01'/],
    ['port', '65536', /expected a TCP port from 0 to 65535, got '65536'/],
    ['logLevel', 'loud', /one of trace, debug, info, warn, error, fatal, silent, got 'loud'/],
  ])('%s=%s', (variable, value, sentence) => {
    const [fault = '', ...others] = faultsOf({ ...CREDENTIALS, [ENV[variable]]: value });
    expect(others).toEqual([]);
    expect(fault).toMatch(new RegExp(`^${ENV[variable]}: `));
    expect(fault).toMatch(sentence);
  });
});

describe('intents that are given', () => {
  const faults = (events: string, intents: string, others: Readonly<Record<string, string>> = {}) =>
    faultsOf({ ...CREDENTIALS, [ENV.events]: events, [ENV.gatewayIntents]: intents, ...others });

  it.each<[string, string, Readonly<Record<string, string>>, readonly RegExp[]]>([
    ['typing', 'GuildMessageTyping,GuildPresences', {}, []],
    [
      'messages,typing',
      'Guilds',
      {},
      [
        /^GATEWAY_INTENTS: expected GuildMessages, .* not send all that is chosen of MESSAGE_CREATE, .*MESSAGE_DELETE_BULK\. Add it, or choose others in EVENTS$/,
        /expected GuildMessageTyping, .* TYPING_START\./,
      ],
    ],
    ['GUILD_MEMBER_ADD', 'Guilds', {}, [/expected GuildMembers \('Server Members Intent' in Discord's developer/]],
    ['MESSAGE_CREATE', 'DirectMessages', {}, [/expected GuildMessages,/]],
    ['MESSAGE_CREATE', 'GuildMessages', { FORWARD_DIRECT_MESSAGES: 'true' }, [/expected DirectMessages,/]],
    ['MESSAGE_CREATE', 'GuildMessages,DirectMessages', { FORWARD_DIRECT_MESSAGES: 'true' }, []],
    ['MESSAGE_CREATE', 'GuildMessages,MessageContent', { FORWARD_MESSAGE_CONTENT: 'true' }, []],
    [
      'MESSAGE_CREATE',
      'GuildMessages',
      { FORWARD_MESSAGE_CONTENT: 'true' },
      [/expected MessageContent \('Message Content Intent' in .*\), which FORWARD_MESSAGE_CONTENT=true needs/],
    ],
    ['nothing', 'Guilds', {}, [/^EVENTS: expected names/]],
  ])('%s with %s and %j', (events, intents, others, sentences) => {
    expect(faults(events, intents, others)).toEqual(sentences.map((sentence) => expect.stringMatching(sentence)));
  });
});

describe('in production', () => {
  const faults = (env: Readonly<Record<string, string>>) =>
    faultsOf({ ...CREDENTIALS, [ENV.nodeEnv]: 'production', ...env });

  it.each(['http://discord.com/api', 'http://127.0.0.1.example/api'])('the token is not sent to %s', (url) => {
    expect(faults({ [ENV.discordApiUrl]: url })).toEqual([
      expect.stringMatching(/^DISCORD_API_URL: .*got 'http:\/\/' in production/),
    ]);
    expect(faultsOf({ ...CREDENTIALS, [ENV.discordApiUrl]: url })).toEqual([]);
  });

  it.each(['http://127.0.0.1:8081/api', 'https://proxy.example'])('it may be sent to %s', (url) =>
    expect(faults({ [ENV.discordApiUrl]: url })).toEqual([]),
  );

  it('the broker login is sent with TLS', () => {
    const env = { [ENV.rabbitmqUrl]: 'amqp://a:b@h/v' };
    expect(faults(env)).toEqual([expect.stringMatching(/^RABBITMQ_URL: expected amqps:\/\/ in production/)]);
    expect(faultsOf({ ...CREDENTIALS, ...env })).toEqual([]);
  });

  it('certificates are verified', () => {
    const env = { [ENV.nodeTlsRejectUnauthorized]: '0' };
    expect(faults(env)).toEqual([
      expect.stringMatching(/^NODE_TLS_REJECT_UNAUTHORIZED: expected nothing in production, got '0'.*RABBITMQ_CA_FILE/),
    ]);
    expect(faultsOf({ ...CREDENTIALS, ...env })).toEqual([]);
    // The only value that Node reads.
    expect(faults({ [ENV.nodeTlsRejectUnauthorized]: '1' })).toEqual([]);
  });
});

describe('credentials', () => {
  it('are required, each from one of two places', () => {
    expect(faultsOf({})).toEqual([
      expect.stringMatching(/^DISCORD_BOT_TOKEN: expected the bot's token, got .*DISCORD_BOT_TOKEN_SECRET_ARN/),
      expect.stringMatching(/^RABBITMQ_URL: expected the broker's address and login, got .*RABBITMQ_SECRET_ARN/),
    ]);
  });

  it('are refused from two places at once', () => {
    const faults = faultsOf({ ...CREDENTIALS, [ENV.discordBotTokenSecretArn]: ARN, [ENV.rabbitmqSecretArn]: ARN });
    expect(faults).toEqual([
      expect.stringMatching(/^DISCORD_BOT_TOKEN: set together with DISCORD_BOT_TOKEN_SECRET_ARN.*Remove one/),
      expect.stringMatching(/^RABBITMQ_URL: set together with RABBITMQ_SECRET_ARN.*Remove one/),
    ]);
  });

  it('as ARNs are those of secrets, in any partition and region', () => {
    const read = (arn: string) => faultsOf({ [ENV.rabbitmqUrl]: BROKER, [ENV.discordBotTokenSecretArn]: arn });
    for (const arn of [ARN, ARN.replace('aws:', 'aws-cn:').replace('eu-central-1', 'cn-north-1'), `${ARN}/with/path`])
      expect(read(arn)).toEqual([]);
    for (const arn of ['my-secret', 'arn:aws:s3:::bucket'])
      expect(read(arn)).toEqual([expect.stringMatching(/^DISCORD_BOT_TOKEN_SECRET_ARN: expected the ARN of a secret/)]);
  });
});

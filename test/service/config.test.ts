// The environment of the service: its defaults, and what is said of each value that cannot be.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { GatewayIntentBits } from 'discord-api-types/v10';
import { describe, expect, it } from 'vitest';
import { parseConfig, parseIntents } from '../../service/config.ts';
import { DEFAULT_PORT } from '../../service/contract/limits.ts';
import { DEFAULT_METRICS_NAMESPACE } from '../../service/contract/metrics.ts';
import { ENV } from '../../service/contract/names.ts';
import { ConfigError } from '../../service/errors.ts';

const TOKEN = 'MTIzNDU2Nzg5.token';
const BROKER = 'amqps://ingestor:pass%2Fword@broker.example:5671/discord';
const ARN = 'arn:aws:secretsmanager:eu-central-1:111122223333:secret:ingestor-AbCdEf';
const RIGHT = { [ENV.discordBotToken]: TOKEN, [ENV.rabbitmqUrl]: BROKER };

function faultsOf(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  try {
    parseConfig(env);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('the defaults', () => {
  it('are those of the documentation', () => {
    expect(parseConfig(RIGHT)).toEqual({
      production: false,
      environment: 'local',
      discord: {
        token: { kind: 'value', value: TOKEN },
        apiUrl: 'https://discord.com/api',
        intents: GatewayIntentBits.Guilds | GatewayIntentBits.GuildMembers | GatewayIntentBits.GuildMessages,
        compression: 'none',
        shardCount: 1,
        shardsPerTask: 16,
      },
      broker: { login: { kind: 'value', value: BROKER }, caFile: undefined },
      outbox: { maxEvents: 100_000, maxBytes: 67_108_864 },
      memoryThreshold: 0.75,
      http: { port: DEFAULT_PORT, host: '0.0.0.0' },
      logLevel: 'info',
      metricsNamespace: DEFAULT_METRICS_NAMESPACE,
    });
    expect([DEFAULT_PORT, DEFAULT_METRICS_NAMESPACE]).toEqual([8080, 'DiscordIngestor']);
  });

  it('hold for empty variables too: a template leaves them so', () => {
    const empty = Object.fromEntries(Object.values(ENV).map((name) => [name, '']));
    expect(parseConfig({ ...empty, ...RIGHT })).toEqual(parseConfig(RIGHT));
  });
});

describe('every variable', () => {
  it('is read', () => {
    const config = parseConfig({
      [ENV.discordBotTokenSecretArn]: `${ARN}1`,
      [ENV.discordApiUrl]: 'http://127.0.0.1:8081/api/',
      [ENV.rabbitmqSecretArn]: `${ARN}2`,
      [ENV.rabbitmqCaFile]: '/etc/ca.pem',
      [ENV.shardCount]: 'auto',
      [ENV.shardsPerTask]: '8',
      [ENV.gatewayIntents]: ' Guilds , GuildMessages',
      [ENV.gatewayCompression]: 'zlib-stream',
      [ENV.outboxMaxEvents]: '500',
      [ENV.outboxMaxBytes]: '1048576',
      [ENV.memoryThreshold]: '0.9',
      [ENV.port]: '0',
      [ENV.host]: '127.0.0.1',
      [ENV.logLevel]: 'debug',
      [ENV.metricsNamespace]: 'Mine',
      [ENV.environment]: 'staging',
      [ENV.nodeEnv]: 'production',
    });
    expect(config).toEqual({
      production: true,
      environment: 'staging',
      discord: {
        token: { kind: 'secret', arn: `${ARN}1` },
        apiUrl: 'http://127.0.0.1:8081/api',
        intents: GatewayIntentBits.Guilds | GatewayIntentBits.GuildMessages,
        compression: 'zlib-stream',
        shardCount: 'auto',
        shardsPerTask: 8,
      },
      broker: { login: { kind: 'secret', arn: `${ARN}2` }, caFile: '/etc/ca.pem' },
      outbox: { maxEvents: 500, maxBytes: 1_048_576 },
      memoryThreshold: 0.9,
      http: { port: 0, host: '127.0.0.1' },
      logLevel: 'debug',
      metricsNamespace: 'Mine',
    });
  });

  it('of the contract is known to this file, and no other', () => {
    const source = readFileSync(join(import.meta.dirname, '../../service/config.ts'), 'utf8');
    const named = new Set([...source.matchAll(/\bENV\.(\w+)/g)].map(([, name]) => name));
    expect([...named].toSorted()).toEqual(Object.keys(ENV).toSorted());
  });
});

describe('a bad value is refused by the name of its variable, with what was expected', () => {
  it.each<[keyof typeof ENV, string, RegExp]>([
    ['discordBotToken', 'Bot abc', /without spaces and without "Bot "/],
    ['discordBotToken', ' ', /the token alone/],
    ['discordApiUrl', 'discord.com/api', /http or https address/],
    ['discordApiUrl', 'ftp://discord.com', /http or https address/],
    ['rabbitmqUrl', 'broker.example', /amqps:\/\/user:password@host:5671\/vhost.*no address/],
    ['rabbitmqUrl', 'https://a:b@broker.example', /another kind of address/],
    ['rabbitmqUrl', 'amqps:///vhost', /no host/],
    ['rabbitmqUrl', 'amqps://a:100%@broker.example', /'%' without two hexadecimal digits/],
    ['rabbitmqUrl', 'amqps://a:b@broker.example/%zz', /'%' without two hexadecimal digits/],
    ['rabbitmqUrl', 'amqps://user@broker.example', /only one of user and password/],
    ['shardCount', '0', /a number of shards, or 'auto', from 1 to 10000, got '0'/],
    ['shardCount', '-3', /got '-3'/],
    ['shardCount', '2.5', /got '2.5'/],
    ['shardCount', 'many', /got 'many'/],
    ['shardCount', 'AUTO', /got 'AUTO'/],
    ['shardCount', '10001', /got '10001'/],
    ['shardsPerTask', '257', /from 1 to 256, got '257'/],
    ['shardsPerTask', 'auto', /got 'auto'/],
    ['gatewayIntents', 'Guilds,Everything', /got 'Everything'\. Known: .*GuildMembers/],
    ['gatewayIntents', 'Guilds,', /got ''/],
    ['gatewayIntents', 'Guilds,MessageContent', /MessageContent is refused/],
    ['gatewayIntents', '513', /got '513'/],
    ['gatewayCompression', 'zstd-stream', /one of none, zlib-stream, got 'zstd-stream'/],
    ['outboxMaxEvents', '9', /from 10 to 10000000, got '9'/],
    ['outboxMaxEvents', '1e3', /got '1e3'/],
    ['outboxMaxBytes', '1000', /from 65536 to 8589934592, got '1000'/],
    ['outboxMaxBytes', '64 MiB', /got '64 MiB'/],
    ['memoryThreshold', '0', /above 0 and up to 1, such as '0.75', got '0'/],
    ['memoryThreshold', '75', /got '75'/],
    ['memoryThreshold', 'three quarters', /got 'three quarters'/],
    ['port', '65536', /TCP port from 0 to 65535, got '65536'/],
    ['port', 'http', /got 'http'/],
    ['logLevel', 'loud', /one of trace, debug, info, warn, error, fatal, silent, got 'loud'/],
    ['discordBotTokenSecretArn', 'my-secret', /the ARN of a secret/],
    ['rabbitmqSecretArn', 'arn:aws:s3:::bucket', /the ARN of a secret/],
  ])('%s=%s', (variable, value, sentence) => {
    const credentials: Record<string, string> =
      variable === 'discordBotTokenSecretArn'
        ? { [ENV.rabbitmqUrl]: BROKER }
        : variable === 'rabbitmqSecretArn'
          ? { [ENV.discordBotToken]: TOKEN }
          : RIGHT;
    const faults = faultsOf({ ...credentials, [ENV[variable]]: value });
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(new RegExp(`^${ENV[variable]}: `));
    expect(faults[0]).toMatch(sentence);
  });
});

describe('credentials', () => {
  it('are demanded, each from one of two places', () => {
    const faults = faultsOf({});
    expect(faults).toHaveLength(2);
    expect(faults[0]).toMatch(
      /^DISCORD_BOT_TOKEN: expected the bot's token, got nothing\. .*DISCORD_BOT_TOKEN_SECRET_ARN/,
    );
    expect(faults[1]).toMatch(
      /^RABBITMQ_URL: expected the broker's address and login, got nothing\. .*RABBITMQ_SECRET_ARN/,
    );
  });

  it('are refused from two places at once', () => {
    const faults = faultsOf({ ...RIGHT, [ENV.discordBotTokenSecretArn]: ARN, [ENV.rabbitmqSecretArn]: ARN });
    expect(faults).toEqual([
      expect.stringMatching(/^DISCORD_BOT_TOKEN: set together with DISCORD_BOT_TOKEN_SECRET_ARN.*Remove one/),
      expect.stringMatching(/^RABBITMQ_URL: set together with RABBITMQ_SECRET_ARN.*Remove one/),
    ]);
  });

  it('of partitions and regions anywhere are accepted', () => {
    for (const arn of [ARN, ARN.replace('aws:', 'aws-cn:').replace('eu-central-1', 'cn-north-1'), `${ARN}/with/path`])
      expect(
        parseConfig({ ...RIGHT, [ENV.discordBotToken]: undefined, [ENV.discordBotTokenSecretArn]: arn }).discord.token,
      ).toEqual({ kind: 'secret', arn });
  });

  it('are in no fault, whatever is wrong with them', () => {
    const secret = 'hunter2hunter2';
    for (const value of [
      `Bot ${secret}`,
      secret,
      `${secret}:5671`,
      `https://u:${secret}@h`,
      `amqps://u:${secret}%@h`,
      `amqps://u:${secret}@`,
      `amqp://u:${secret}@h`,
    ])
      expect(
        faultsOf({
          [ENV.discordBotToken]: `Bot ${value}`,
          [ENV.rabbitmqUrl]: value,
          [ENV.nodeEnv]: 'production',
        }).join(),
      ).not.toContain(secret);
  });
});

describe('production', () => {
  it.each(['amqp://a:b@h/v', 'AMQP://a:b@h/v', ' amqp://a:b@h/v'])('refuses %s', (url) => {
    expect(faultsOf({ ...RIGHT, [ENV.rabbitmqUrl]: url, [ENV.nodeEnv]: 'production' })).toEqual([
      'RABBITMQ_URL: expected amqps:// in production, got amqp://. Use the TLS listener (port 5671)',
    ]);
    expect(faultsOf({ ...RIGHT, [ENV.rabbitmqUrl]: url })).toEqual([]);
  });

  it('accepts amqps://', () => {
    expect(parseConfig({ ...RIGHT, [ENV.nodeEnv]: 'production' }).production).toBe(true);
  });
});

it('tells all faults at once', () => {
  const bad = {
    [ENV.discordBotToken]: 'Bot x',
    [ENV.discordApiUrl]: 'x',
    [ENV.rabbitmqUrl]: 'x',
    [ENV.shardCount]: 'x',
    [ENV.shardsPerTask]: 'x',
    [ENV.gatewayIntents]: 'x',
    [ENV.gatewayCompression]: 'x',
    [ENV.outboxMaxEvents]: 'x',
    [ENV.outboxMaxBytes]: 'x',
    [ENV.memoryThreshold]: 'x',
    [ENV.port]: 'x',
    [ENV.logLevel]: 'x',
    [ENV.discordBotTokenSecretArn]: 'x',
  };
  const faults = faultsOf(bad);
  // Each once, and the token once more because it is given twice.
  expect(faults.map((fault) => fault.split(':')[0]).toSorted()).toEqual(
    [...Object.keys(bad), ENV.discordBotToken].toSorted(),
  );
});

it('makes one bit field of the intents', () => {
  expect(parseIntents('Guilds')).toBe(1);
  expect(parseIntents('Guilds,GuildMembers,GuildMessages')).toBe(1 | 2 | 512);
  expect(parseIntents('Guilds,Guilds')).toBe(1);
});

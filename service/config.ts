// The service's configuration, from environment variables to typed values, in one place. All faults are reported at
// once, by the variable's real name. Pure: `main.ts` hands in the environment, and reads the files that it names.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { z } from 'zod';
import { BOUNDS, COMPRESSIONS, DEFAULT_LOG_LEVEL, LOG_LEVELS } from './contract/limits.ts';
import { DEFAULT_METRICS_NAMESPACE } from './contract/metrics.ts';
import { ENV } from './contract/names.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { NEEDED_INTENTS } from './events/routing.ts';
import { parseBrokerUrl } from './secrets.ts';

/** Where a credential comes from: the variable itself, or a secret that is read again when it is refused. */
export type CredentialSource =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'secret'; readonly arn: string };

export interface Config {
  readonly production: boolean;
  readonly environment: string;
  readonly discord: {
    readonly token: CredentialSource;
    /** REST base without version, e.g. `https://discord.com/api`. */
    readonly apiUrl: string;
    /** Bit field for IDENTIFY. */
    readonly intents: number;
    readonly compression: 'none' | 'zlib-stream';
    readonly shardCount: number | 'auto';
    readonly shardsPerTask: number;
  };
  readonly broker: { readonly login: CredentialSource; readonly caFile: string | undefined };
  readonly outbox: { readonly maxEvents: number; readonly maxBytes: number };
  /** Share of V8's heap limit above which the task is unhealthy. */
  readonly memoryThreshold: number;
  readonly http: { readonly port: number; readonly host: string };
  readonly logLevel: string;
  readonly metricsNamespace: string;
}

const INTENTS = Object.keys(GatewayIntentBits).filter((name) => Number.isNaN(Number(name)));
const SECRET_ARN = /^arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:.+$/;

/** @throws ConfigError with every fault, each naming its variable, what came and what to change */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  // An empty variable is what a deployer gets who leaves it out of a template: the same as an absent one.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = schema.safeParse(given);
  const faults = parsed.success ? [] : parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`);
  faults.push(...refusalsBetween(given));
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  const value = parsed.data;
  return {
    production: value[ENV.nodeEnv] === 'production',
    environment: value[ENV.environment],
    discord: {
      token: source(value[ENV.discordBotToken], value[ENV.discordBotTokenSecretArn]),
      apiUrl: value[ENV.discordApiUrl],
      intents: value[ENV.gatewayIntents],
      compression: value[ENV.gatewayCompression],
      shardCount: value[ENV.shardCount],
      shardsPerTask: value[ENV.shardsPerTask],
    },
    broker: {
      login: source(value[ENV.rabbitmqUrl], value[ENV.rabbitmqSecretArn]),
      caFile: value[ENV.rabbitmqCaFile],
    },
    outbox: { maxEvents: value[ENV.outboxMaxEvents], maxBytes: value[ENV.outboxMaxBytes] },
    memoryThreshold: value[ENV.memoryThreshold],
    http: { port: value[ENV.port], host: value[ENV.host] },
    logLevel: value[ENV.logLevel],
    metricsNamespace: value[ENV.metricsNamespace],
  };
}

/** The bit field of intents named in `names`, comma-separated, or one sentence about the first that cannot be. */
export function parseIntents(names: string): number | string {
  let bits = 0;
  for (const name of names.split(',').map((part) => part.trim())) {
    if (name === 'MessageContent')
      return 'MessageContent is refused: this service forwards no message content. Remove it from the list';
    if (!INTENTS.includes(name))
      return `expected names of Discord's intents, separated by commas, got '${name}'. Known: ${INTENTS.join(', ')}`;
    bits |= GatewayIntentBits[name as keyof typeof GatewayIntentBits];
  }
  return bits;
}

function whole<const Word extends string = never>(setting: keyof typeof BOUNDS, what: string, word?: Word) {
  const { least, most, default: otherwise } = BOUNDS[setting];
  return z
    .string()
    .transform((text, context): number | Word => {
      const value = Number(text);
      if (word !== undefined && text === word) return word;
      if (/^\d+$/.test(text.trim()) && value >= least && value <= most) return value;
      context.addIssue({ code: 'custom', message: `expected a ${what} from ${least} to ${most}, got '${text}'` });
      return z.NEVER;
    })
    .default(otherwise);
}

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: (issue) => `expected one of ${values.join(', ')}, got '${String(issue.input)}'` });
}

const secretArn = z
  .string()
  .regex(SECRET_ARN, { error: 'expected the ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME)' });

const schema = z.object({
  [ENV.nodeEnv]: z.string().default('development'),
  [ENV.environment]: z.string().default('local'),
  [ENV.discordBotToken]: z
    .string()
    .regex(/^\S+$/, { error: 'expected the token alone, without spaces and without "Bot " before it' })
    .optional(),
  [ENV.discordBotTokenSecretArn]: secretArn.optional(),
  [ENV.discordApiUrl]: z
    .url({ protocol: /^https?$/, error: "expected an http or https address such as 'https://discord.com/api'" })
    .default('https://discord.com/api')
    .transform((url) => url.replace(/\/+$/, '')),
  [ENV.rabbitmqUrl]: z
    .string()
    .superRefine((url, context) => {
      try {
        parseBrokerUrl(url);
      } catch (error) {
        context.addIssue({ code: 'custom', message: errorMessage(error) });
      }
    })
    .optional(),
  [ENV.rabbitmqSecretArn]: secretArn.optional(),
  [ENV.rabbitmqCaFile]: z.string().optional(),
  [ENV.shardCount]: whole('shardCount', "number of shards, or 'auto',", 'auto'),
  [ENV.shardsPerTask]: whole('shardsPerTask', 'number of shards'),
  [ENV.gatewayIntents]: z
    .string()
    .default(NEEDED_INTENTS.join(','))
    .transform((names, context) => {
      const intents = parseIntents(names);
      if (typeof intents === 'number') return intents;
      context.addIssue({ code: 'custom', message: intents });
      return z.NEVER;
    }),
  [ENV.gatewayCompression]: oneOf(COMPRESSIONS).default('none'),
  [ENV.outboxMaxEvents]: whole('outboxMaxEvents', 'number of events'),
  [ENV.outboxMaxBytes]: whole('outboxMaxBytes', 'number of bytes'),
  [ENV.memoryThreshold]: z
    .string()
    .refine((text) => Number(text) > BOUNDS.memoryThreshold.least && Number(text) <= BOUNDS.memoryThreshold.most, {
      error: (issue) => `expected a share of the heap limit above 0 and up to 1, such as '0.75', got '${issue.input}'`,
    })
    .transform(Number)
    .default(BOUNDS.memoryThreshold.default),
  [ENV.port]: whole('port', 'TCP port'),
  [ENV.host]: z.string().default('0.0.0.0'),
  [ENV.logLevel]: oneOf(LOG_LEVELS).default(DEFAULT_LOG_LEVEL),
  [ENV.metricsNamespace]: z.string().default(DEFAULT_METRICS_NAMESPACE),
});

function refusalsBetween(given: Readonly<Record<string, string | undefined>>): string[] {
  const faults: string[] = [];
  const pairs = [
    [ENV.discordBotToken, ENV.discordBotTokenSecretArn, "the bot's token"],
    [ENV.rabbitmqUrl, ENV.rabbitmqSecretArn, "the broker's address and login"],
  ] as const;
  for (const [variable, arn, what] of pairs) {
    if (given[variable] === undefined && given[arn] === undefined)
      faults.push(`${variable}: expected ${what}, got nothing. Set it, or ${arn} to the secret that holds it`);
    if (given[variable] !== undefined && given[arn] !== undefined)
      faults.push(`${variable}: set together with ${arn}, expected one of the two. Remove one`);
  }
  const url = given[ENV.rabbitmqUrl] ?? '';
  if (given[ENV.nodeEnv] === 'production' && URL.canParse(url) && new URL(url).protocol === 'amqp:')
    faults.push(`${ENV.rabbitmqUrl}: expected amqps:// in production, got amqp://. Use the TLS listener (port 5671)`);
  return faults;
}

function source(value: string | undefined, arn: string | undefined): CredentialSource {
  if (value !== undefined) return { kind: 'value', value };
  if (arn !== undefined) return { kind: 'secret', arn };
  throw new ConfigError(['a credential has neither value nor secret']);
}

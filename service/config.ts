// The service's configuration: from environment variables to typed values. All faults are reported at once, by the names
// of the variables. Pure: `main.ts` reads the environment, `task.ts` the files that it names.

import { GatewayIntentBits } from 'discord-api-types/v10';
import { z } from 'zod';
import { parsePresence } from './commands/command.ts';
import { BOUNDS, COMPRESSIONS, DEFAULT_LOG_LEVEL, LOG_LEVELS } from './contract/limits.ts';
import { DEFAULT_METRICS_NAMESPACE } from './contract/metrics.ts';
import { ENV } from './contract/names.ts';
import { type CredentialSource, parseBrokerLogin, parseTlsLogin, parseToken } from './credentials.ts';
import { ConfigError, errorMessage } from './errors.ts';
import { DEFAULT_EVENTS, intentsFor, intentsOf, type OptIns, parseEvents, quoted } from './events/choice.ts';
import { isLoopback } from './gateway/gateway-address.ts';
import { INTENTS, SWITCHES } from './gateway/intents.ts';

export type Config = ReturnType<typeof parseConfig>;

const SECRET_ARN = /^arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:.+$/;

/** @throws ConfigError with every fault, each naming its variable, what came and what to change */
export function parseConfig(env: Readonly<Record<string, string | undefined>>) {
  // A template that leaves a variable out sets it to nothing: the same as an absent one.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ''));
  const production = given[ENV.nodeEnv] === 'production';
  const { data: value, error } = schemaFor(production).safeParse(given);
  const faults = error?.issues.map(({ path, message }) => `${path.join('.')}: ${message}`) ?? [];
  faults.push(...refusalsBetween(given, production), ...refusedIntents(given));
  const token = value?.[ENV.discordBotToken] ?? value?.[ENV.discordBotTokenSecretArn];
  const login = value?.[ENV.rabbitmqUrl] ?? value?.[ENV.rabbitmqSecretArn];
  if (value === undefined || token === undefined || login === undefined || faults.length > 0)
    throw new ConfigError(faults);
  const choice = value[ENV.events];
  const optIns = optInsOf(value);
  return {
    production,
    environment: value[ENV.environment],
    events: { choice, optIns },
    discord: {
      token,
      /** REST base without version. */
      apiUrl: value[ENV.discordApiUrl],
      /** Bit field for IDENTIFY. */
      intents: value[ENV.gatewayIntents] ?? bitsOf(intentsFor(choice, optIns)),
      /** Of the first IDENTIFY, until a command sets another. */
      initialPresence: value[ENV.initialPresence],
      compression: value[ENV.gatewayCompression],
      shardCount: value[ENV.shardCount],
      shardsPerTask: value[ENV.shardsPerTask],
    },
    broker: { login, caFile: value[ENV.rabbitmqCaFile] },
    outbox: { maxEvents: value[ENV.outboxMaxEvents], maxBytes: value[ENV.outboxMaxBytes] },
    /** Share of V8's heap limit above which the task is unhealthy. */
    memoryThreshold: value[ENV.memoryThreshold],
    http: { port: value[ENV.port], host: value[ENV.host] },
    logLevel: value[ENV.logLevel],
    metricsNamespace: value[ENV.metricsNamespace],
  };
}

/** The bit field of comma-separated names. @throws Error with one sentence about the first that is refused */
export function parseIntents(names: string): number {
  const each = names.split(',').map((part) => part.trim());
  const unknown = each.find((name) => !INTENTS.includes(name));
  if (unknown !== undefined)
    throw new Error(
      `expected names of Discord's intents, separated by commas, got ${quoted(unknown)}. Known: ${INTENTS.join(', ')}`,
    );
  return bitsOf(each);
}

const bitsOf = (intents: readonly string[]): number =>
  intents.reduce((bits, name) => bits | GatewayIntentBits[name as keyof typeof GatewayIntentBits], 0);

/**
 * The REST base without version. The bot's token is sent there.
 * @throws Error with one sentence, which quotes no login
 */
function parseApiUrl(text: string, production: boolean): string {
  const refuse = (got: string): never => {
    throw new Error(`expected an http or https address such as 'https://discord.com/api', got ${got}`);
  };
  if (!URL.canParse(text)) return refuse('none');
  const url = new URL(text);
  if (!/^https?:$/.test(url.protocol)) return refuse(`one that starts with '${url.protocol}'`);
  if (url.username !== '' || url.password !== '') return refuse('one with a login. Remove it');
  if (/[?#]/.test(text)) return refuse("one with '?' or '#'. Remove it and what follows");
  const path = url.pathname.replace(/\/+$/, '');
  const [version] = /\/v\d+$/i.exec(path) ?? [];
  if (version !== undefined) return refuse(`one that ends in '${version}'. Remove that: the service adds the version`);
  if (production && url.protocol === 'http:' && !isLoopback(url.hostname))
    return refuse("'http://' in production, where the token would travel without encryption. Use 'https://'");
  return `${url.origin}${path}`;
}

function wholeNumber<const Word extends string = never>(setting: keyof typeof BOUNDS, what: string, word?: Word) {
  const { least, most, default: absent } = BOUNDS[setting];
  return z
    .string()
    .transform((text, context): number | Word => {
      const value = Number(text);
      if (word !== undefined && text === word) return word;
      if (/^\d+$/.test(text.trim()) && value >= least && value <= most) return value;
      context.addIssue({ code: 'custom', message: `expected a ${what} from ${least} to ${most}, got '${text}'` });
      return z.NEVER;
    })
    .default(absent);
}

function oneOf<const T extends readonly [string, ...string[]]>(values: T) {
  return z.enum(values, { error: (issue) => `expected one of ${values.join(', ')}, got '${String(issue.input)}'` });
}

function parsedBy<T>(parse: (text: string) => T) {
  return z.string().transform((text, context): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: errorMessage(error) });
      return z.NEVER;
    }
  });
}

function variable<T>(name: string, parse: (text: string) => T) {
  return parsedBy((text): CredentialSource<T> => ({ kind: 'variable', name, text, value: parse(text) })).optional();
}

const secret = (name: string) =>
  z
    .string()
    .regex(SECRET_ARN, { error: 'expected the ARN of a secret (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME)' })
    .transform((arn) => ({ kind: 'secret', name, arn }) as const)
    .optional();

const yesOrNo = oneOf(['true', 'false']).default('false');

const EVENTS = parsedBy(parseEvents).prefault(DEFAULT_EVENTS.join(','));

const optInsOf = (values: Readonly<Record<string, unknown>>): OptIns => ({
  messageContent: values[ENV.forwardMessageContent] === 'true',
  botMessages: values[ENV.forwardBotMessages] === 'true',
  directMessages: values[ENV.forwardDirectMessages] === 'true',
});

const schemaFor = (production: boolean) =>
  z.object({
    [ENV.environment]: z.string().default('local'),
    [ENV.discordBotToken]: variable(ENV.discordBotToken, parseToken),
    [ENV.discordBotTokenSecretArn]: secret(ENV.discordBotTokenSecretArn),
    [ENV.discordApiUrl]: parsedBy((text) => parseApiUrl(text, production)).prefault('https://discord.com/api'),
    [ENV.rabbitmqUrl]: variable(ENV.rabbitmqUrl, production ? parseTlsLogin : parseBrokerLogin),
    [ENV.rabbitmqSecretArn]: secret(ENV.rabbitmqSecretArn),
    [ENV.rabbitmqCaFile]: z.string().optional(),
    [ENV.shardCount]: wholeNumber('shardCount', "number of shards, or 'auto',", 'auto'),
    [ENV.shardsPerTask]: wholeNumber('shardsPerTask', 'number of shards'),
    [ENV.events]: EVENTS,
    [ENV.forwardMessageContent]: yesOrNo,
    [ENV.forwardBotMessages]: yesOrNo,
    [ENV.forwardDirectMessages]: yesOrNo,
    [ENV.gatewayIntents]: parsedBy(parseIntents).optional(),
    [ENV.initialPresence]: parsedBy(parsePresence).optional(),
    [ENV.gatewayCompression]: oneOf(COMPRESSIONS).default('none'),
    [ENV.outboxMaxEvents]: wholeNumber('outboxMaxEvents', 'number of events'),
    [ENV.outboxMaxBytes]: wholeNumber('outboxMaxBytes', 'number of bytes'),
    [ENV.memoryThreshold]: z
      .string()
      .refine((text) => Number(text) > BOUNDS.memoryThreshold.least && Number(text) <= BOUNDS.memoryThreshold.most, {
        error: (issue) =>
          `expected a share of the heap limit above 0 and up to 1, such as '0.75', got '${issue.input}'`,
      })
      .transform(Number)
      .default(BOUNDS.memoryThreshold.default),
    [ENV.port]: wholeNumber('port', 'TCP port'),
    // Other machines can connect only where the deployer allows it.
    [ENV.host]: z.string().default('127.0.0.1'),
    [ENV.logLevel]: oneOf(LOG_LEVELS).default(DEFAULT_LOG_LEVEL),
    [ENV.metricsNamespace]: z.string().default(DEFAULT_METRICS_NAMESPACE),
  });

function refusalsBetween(given: Readonly<Record<string, string | undefined>>, production: boolean): string[] {
  const faults: string[] = [];
  // Node's own variable: with 0 any certificate is good enough, and whoever stands in between reads the credentials.
  if (production && given[ENV.nodeTlsRejectUnauthorized] === '0')
    faults.push(
      `${ENV.nodeTlsRejectUnauthorized}: expected nothing in production, got '0', which accepts any certificate. Remove it, and set ${ENV.rabbitmqCaFile} for an authority of your own`,
    );
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
  return faults;
}

/** What the intents, where they are given, leave out of what is chosen. Faults of either itself are reported elsewhere. */
function refusedIntents(given: Readonly<Record<string, string | undefined>>): string[] {
  const bits = parsedBy(parseIntents).safeParse(given[ENV.gatewayIntents]).data;
  const choice = EVENTS.safeParse(given[ENV.events]).data;
  if (bits === undefined || choice === undefined) return [];
  const optIns = optInsOf(given);
  const missing = [...choice.dispatches].flatMap((name) =>
    intentsOf(name, optIns).flatMap((intent) => ((bits & bitsOf([intent])) === 0 ? { intent, name } : [])),
  );
  const faults = [...Map.groupBy(missing, ({ intent }) => intent)].map(
    ([intent, dispatches]) =>
      `${ENV.gatewayIntents}: expected ${withSwitch(intent)}, without which Discord does not send all that is chosen of ${dispatches.map(({ name }) => name).join(', ')}. Add it, or choose others in ${ENV.events}`,
  );
  const content = (bits & GatewayIntentBits.MessageContent) !== 0;
  if (content && !optIns.messageContent)
    faults.push(
      `${ENV.gatewayIntents}: MessageContent is refused without ${ENV.forwardMessageContent}=true: no content would be forwarded. Remove it, or set that`,
    );
  if (!content && optIns.messageContent)
    faults.push(
      `${ENV.gatewayIntents}: expected ${withSwitch('MessageContent')}, which ${ENV.forwardMessageContent}=true needs. Add it`,
    );
  return faults;
}

/** A privileged intent with the switch that allows it. */
const withSwitch = (intent: string): string =>
  SWITCHES[intent] === undefined ? intent : `${intent} ('${SWITCHES[intent]}' in Discord's developer portal)`;

// The deployed task fits the service: the service reads its environment and parses its secrets, the image has its command, and
// the service answers its health check.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { BUNDLE, LIVE_CHECK, NODE, NON_ROOT, taskEnvironment } from '../../lib/ingestor-service.ts';
import { choiceOf, settingsFor } from '../../lib/settings.ts';
import { parseConfig, parseIntents } from '../../service/config.ts';
import {
  DEFAULT_PORT,
  DRAIN_DEADLINE_SECONDS,
  NODE_FLAGS,
  STOP_TIMEOUT_SECONDS,
} from '../../service/contract/limits.ts';
import { DEFAULT_METRICS_NAMESPACE } from '../../service/contract/metrics.ts';
import { BROKER_SECRET_FIELDS, ENV, PATHS } from '../../service/contract/names.ts';
import { parseBrokerLogin } from '../../service/credentials.ts';
import { secretArn as arn } from '../support/choices.ts';
import { listening } from '../support/fake-servers.ts';
import { type Synthesized, synthesized } from '../support/synthesized.ts';

const ROOT = join(import.meta.dirname, '../..');
const dockerfile = readFileSync(join(ROOT, 'service/Dockerfile'), 'utf8');

function container(made: Synthesized) {
  const { ContainerDefinitions } = made.one('AWS::ECS::TaskDefinition').Properties;
  const [only] = ContainerDefinitions as { Environment: { Name: string; Value: unknown }[]; Command: string[] }[];
  if (!only) throw new Error('expected a container, got none');
  return only;
}

describe.each(['staging', 'production'] as const)('%s', (environment) => {
  const made = synthesized(environment);

  it('sets every variable of the service, except those with a default or another source', () => {
    const names = container(made).Environment.map(({ Name }) => Name);
    const others = [ENV.discordBotToken, ENV.discordApiUrl, ENV.rabbitmqUrl, ENV.rabbitmqCaFile, ENV.memoryThreshold];
    const forwards = [ENV.forwardMessageContent, ENV.forwardBotMessages, ENV.forwardDirectMessages];
    const chosen = [ENV.gatewayIntents, ENV.events, ENV.initialPresence, ...forwards];
    const expected = Object.values(ENV).sort();
    expect([...names, ...others, ...chosen, ENV.nodeTlsRejectUnauthorized].sort()).toEqual(expected);
  });

  it('has a configuration that the service accepts, with the values of the settings', () => {
    const settings = settingsFor(environment);
    const config = parseConfig(taskEnvironment(settings, arn('token'), arn('login')));
    expect(config).toMatchObject({
      production: true,
      environment,
      discord: {
        token: { kind: 'secret', arn: arn('token') },
        shardCount: settings.shards.count,
        shardsPerTask: settings.shards.perTask,
        compression: 'none',
        // Without a choice: what the default events need.
        intents: parseIntents('Guilds,GuildMembers,GuildMessages'),
      },
      broker: { login: { kind: 'secret', arn: arn('login') } },
      outbox: { maxEvents: settings.task.outboxMaxEvents, maxBytes: settings.task.outboxMaxBytes },
      http: { port: DEFAULT_PORT, host: '127.0.0.1' },
      metricsNamespace: DEFAULT_METRICS_NAMESPACE,
    });
    // The template has the same, with references for the two ARNs.
    const inTemplate = container(made).Environment.filter(({ Value }) => typeof Value === 'string');
    const expected = Object.entries(taskEnvironment(settings, '', '')).filter(([, value]) => value !== '');
    expect(Object.fromEntries(inTemplate.map(({ Name, Value }) => [Name, Value]))).toEqual(
      Object.fromEntries(expected),
    );
  });

  it('publishes the events that the settings choose, and connects with their intents', () => {
    const settings = settingsFor(environment, {
      events: ['INTERACTION_CREATE', 'reactions', 'guilds.full'],
      forward: { messageContent: true, botMessages: true, directMessages: true },
    });
    const config = parseConfig(taskEnvironment(settings, arn('token'), arn('login')));
    expect(config.events.choice).toEqual(choiceOf(settings));
    expect(config.events.optIns).toEqual(settings.forward);
    const intents = 'Guilds,GuildMessageReactions,DirectMessageReactions,MessageContent';
    expect(config.discord.intents).toBe(parseIntents(intents));
    const fewer = settingsFor(environment, { events: ['reactions'], gateway: { intents: ['GuildMessageReactions'] } });
    const { discord } = parseConfig(taskEnvironment(fewer, arn('token'), arn('login')));
    expect(discord.intents).toBe(parseIntents('GuildMessageReactions'));
  });

  it('reads a login from the secret that the stack generates', () => {
    const secret = made.resources.get('IngestorLogin32431250')?.Properties.GenerateSecretString as {
      readonly SecretStringTemplate: { 'Fn::Join': [string, unknown[]] };
      readonly GenerateStringKey: string;
    };
    const host = 'b-1234.mq.eu-central-1.on.aws';
    const parts = secret.SecretStringTemplate['Fn::Join'][1].map((part) => (typeof part === 'string' ? part : host));
    const value = { ...JSON.parse(parts.join('')), [secret.GenerateStringKey]: 'generated' };
    expect(Object.keys(value).sort()).toEqual([...BROKER_SECRET_FIELDS].sort());
    const login = { host, port: 5671, vhost: 'discord', username: 'ingestor', password: 'generated', tls: true };
    expect(parseBrokerLogin(JSON.stringify(value))).toEqual(login);
  });
});

describe('the image', () => {
  const stages = dockerfile.split(/^FROM /m).slice(1);
  const last = stages.at(-1) ?? '';

  it('has the same Node, bundle and user as the task', () => {
    expect(last).toContain(`ENTRYPOINT ["${NODE}"]`);
    expect(last).toContain(`USER ${NON_ROOT}`);
    expect(dockerfile).toContain(`--outfile=dist/${BUNDLE}`);
    expect(last).toMatch(/COPY --from=build \/app\/dist \.\//);
  });

  it('has base images pinned by digest, and runs nothing in its last stage', () => {
    for (const stage of stages) expect(stage.split('\n')[0]).toMatch(/\$\{(BUILD|RUNTIME)_IMAGE\}/);
    for (const argument of ['BUILD_IMAGE', 'RUNTIME_IMAGE'])
      expect(dockerfile).toMatch(new RegExp(`^ARG ${argument}=[\\w./-]+:[\\w.-]+@sha256:[0-9a-f]{64}$`, 'm'));
    expect(dockerfile).not.toMatch(/^# *syntax *=/m);
    expect(dockerfile.match(/--from=\S+/g)).toEqual(['--from=build']);
    // A RUN in the last stage would need an emulator for another processor.
    expect(last).not.toMatch(/^RUN /m);
    expect(stages[0]).toMatch(/^--platform=\$BUILDPLATFORM /);
  });

  it('runs in the task with its own command and the heap limit', () => {
    const [, alone = ''] = /^CMD (\[.+\])$/m.exec(last) ?? [];
    const flags = JSON.parse(alone) as string[];
    const { Command } = container(synthesized('staging'));
    expect(Command.filter((flag) => !flag.startsWith('--max-old-space-size='))).toEqual(flags);
    expect(Command).toContain('--max-old-space-size=307');
    for (const flag of NODE_FLAGS) expect(flags).toContain(flag);
  });
});

/** Runs Node with these arguments and a server that answers `/live` and `/health` with this status. 0: no server. */
async function run(args: readonly string[], status: number): Promise<{ code: unknown; stdout: string }> {
  const answers = createServer((request, response) => {
    const known = [PATHS.live, PATHS.health].some((path) => path === request.url);
    response.writeHead(known ? status : 404).end(`answer of ${request.url}`);
  });
  const { port, close } = await listening(answers);
  if (status === 0) await close();
  const here = args.map((each) => each.replace(new RegExp(`(127.0.0.1(:|%3A))${DEFAULT_PORT}`), `$1${port}`));
  const outcome = await promisify(execFile)(process.execPath, here).then(
    ({ stdout }) => ({ code: 0, stdout }),
    (error: { code: unknown; stdout: string }) => error,
  );
  await close();
  return outcome;
}

describe('the health check', () => {
  it.each([
    [200, 0],
    [503, 1],
    [404, 1],
    [0, 1],
  ])('exits, with the answer %d, with %d', async (status, expected) => {
    const { code } = await run(LIVE_CHECK.slice(1), status);
    expect(code).toBe(expected);
  });

  it('runs the Node of the image, without a shell', () => {
    expect(LIVE_CHECK[0]).toBe(NODE);
    expect(LIVE_CHECK.join(' ')).not.toMatch(/curl|wget|\/bin\/sh/);
  });

  it('in the runbook reads a running task with a command that needs only Node', async () => {
    const runbook = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
    const [, command = '', program = ''] = /--command "(\S+) -e ([^"]+)"/.exec(runbook) ?? [];
    expect(command).toBe(NODE);
    // Neither the operator's shell nor ECS Exec changes a command without these characters.
    expect(program).not.toMatch(/[\s'"`$\\!]/);
    expect(await run(['-e', program], 200)).toMatchObject({ code: 0, stdout: `answer of ${PATHS.health}\n` });
  });
});

it('the drain ends before ECS kills the task', () => {
  expect(DRAIN_DEADLINE_SECONDS).toBeLessThan(STOP_TIMEOUT_SECONDS);
});

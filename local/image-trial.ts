// The image as Fargate runs it: read-only, without any capability, as nobody, told everything by the variables of the
// task definition and by secrets; against a real RabbitMQ by TLS, the Discord simulator and the stand-in for Secrets
// Manager. Traffic, the health check from inside, SIGTERM under traffic, then the next container, which resumes: nothing
// may be lost. Needs podman and runc.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { LIVE_CHECK, taskCommand, taskEnvironment } from '../lib/ingestor-service.ts';
import { settingsFor } from '../lib/settings.ts';
import { DEFAULT_PORT, ENV, PATHS, STOP_TIMEOUT_SECONDS, USERS, VHOST } from '../service/contract.ts';
import { startSecretsManager } from './secrets-manager.ts';
import { Stage, type Verdict } from './stage.ts';

export interface Trial {
  /** Over both containers. */
  readonly verdict: Verdict;
  /** From `podman run` to a healthy service, of each. */
  readonly startMs: readonly number[];
  /** From SIGTERM to the end of the container, of each. */
  readonly drainMs: readonly number[];
  readonly exitCodes: readonly number[];
  /** Of the health check, run inside. */
  readonly liveExitCode: number;
  /** IDENTIFYs: more than one says that the second container did not resume. */
  readonly identifies: number;
}

const PODMAN = ['--runtime', 'runc', '--cgroup-manager', 'cgroupfs'];
const CA_FILE = '/run/broker-ca.pem';
const START_DEADLINE_MS = 60_000;

/** @param port where the container listens, on loopback: it shares the network of the machine */
export async function tryImage(tag: string, { seconds = 10, rate = 300, port = 18_080 } = {}): Promise<Trial> {
  const simulation = { guilds: 50, maxConcurrency: 16 };
  const stage = await Stage.start({ tasks: 0, untilReady: false, tls: true, simulator: simulation });
  const secrets = await startSecretsManager();
  const containers: Container[] = [];
  try {
    const { broker, simulator } = stage;
    if (!simulator || broker.amqpsPort === undefined || !broker.caFile)
      throw new Error('The stage has no simulator or no TLS.');
    const { password } = new URL(stage.url(USERS.ingestor));
    const login = { host: '127.0.0.1', port: broker.amqpsPort, vhost: VHOST, username: USERS.ingestor, password };
    const arns = [secrets.put('discord-token', simulator.token), secrets.put('login', JSON.stringify(login))] as const;
    const env = {
      ...taskEnvironment(settingsFor('staging'), ...arns),
      ...secrets.environment,
      [ENV.discordApiUrl]: simulator.apiUrl,
      [ENV.rabbitmqCaFile]: CA_FILE,
      [ENV.port]: String(port),
    };
    const run = async (): Promise<Container> => {
      const container = new Container(
        `ingestor-trial-${process.pid}-${containers.length}`,
        tag,
        env,
        broker.caFile ?? '',
      );
      containers.push(container);
      await container.healthy(port);
      return container;
    };

    const first = await run();
    simulator.startTraffic(rate);
    await stage.until('enough events were read', (seconds + 60) * 1_000, () => stage.reader.events >= rate * seconds);
    const check = LIVE_CHECK.map((part) => part.replace(`:${DEFAULT_PORT}/`, `:${port}/`));
    const liveExitCode = await podman('exec', first.name, ...check);
    await first.stop();

    const second = await run();
    const { events } = stage.reader;
    await stage.until('the second container reads on', START_DEADLINE_MS, () => stage.reader.events > events + rate);
    simulator.stopTraffic();
    const verdict = await stage.settled(30_000, 5_000);
    await second.stop();
    return {
      verdict,
      startMs: containers.map(({ startMs }) => startMs),
      drainMs: containers.map(({ drainMs }) => drainMs),
      exitCodes: containers.map(({ exitCode }) => exitCode),
      liveExitCode,
      identifies: simulator.count('identify'),
    };
  } finally {
    for (const container of containers) await container.remove();
    await secrets.stop();
    await stage.stop();
  }
}

class Container {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<[number]>;
  readonly #started = Date.now();
  #log = '';
  startMs = Number.NaN;
  drainMs = Number.NaN;
  exitCode = Number.NaN;

  constructor(name: string, tag: string, env: Readonly<Record<string, string>>, caFile: string) {
    this.name = name;
    const args = [
      ...PODMAN,
      ...['run', '--rm', '--name', name, '--pull=never', '--network', 'host'],
      ...['--read-only', '--read-only-tmpfs=false', '--cap-drop', 'ALL', '--security-opt', 'no-new-privileges'],
      // Rootless users and sandboxes may not raise limits, which is what podman's defaults try.
      ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'],
      ...['--stop-timeout', String(STOP_TIMEOUT_SECONDS), '--volume', `${caFile}:${CA_FILE}:ro`],
      ...Object.entries(env).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
      ...[tag, ...taskCommand(settingsFor('staging'))],
    ];
    this.#child = spawn('podman', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#log += chunk.toString();
      });
    }
    this.#ended = once(this.#child, 'close') as Promise<[number]>;
  }

  /** @throws with the last lines of its log, where it ends or is not healthy in time */
  async healthy(port: number): Promise<void> {
    const deadline = this.#started + START_DEADLINE_MS;
    const answer = async (): Promise<number | undefined> =>
      await fetch(`http://127.0.0.1:${port}${PATHS.health}`).then(
        ({ status }) => status,
        () => undefined,
      );
    while ((await answer()) !== 200) {
      if (this.#child.exitCode !== null || Date.now() > deadline) {
        throw new Error(`${this.name} did not become healthy. Its last lines:\n${this.#log.slice(-2_000)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    this.startMs = Date.now() - this.#started;
  }

  async stop(): Promise<void> {
    const stopped = Date.now();
    await podman('kill', '--signal', 'TERM', this.name);
    [this.exitCode] = await this.#ended;
    this.drainMs = Date.now() - stopped;
  }

  async remove(): Promise<void> {
    if (this.#child.exitCode === null) await podman('rm', '--force', this.name);
  }
}

async function podman(...args: readonly string[]): Promise<number> {
  return await promisify(execFile)('podman', [...PODMAN, ...args]).then(
    () => 0,
    ({ code }: { code: number }) => code,
  );
}

// The acts of a deployment's life, each a step of the record. What does not run tasks happens under their load all the
// same, where there are any. The verdict is the simulator's against the reader's: nothing asks the service.
import { join } from 'node:path';
import { type ConfirmChannel, connect } from 'amqplib';
import { ENV, leaseQueue, VHOST } from '../../service/contract/names.ts';
import type { Stage } from '../stage.ts';
import type { Assembly } from './assembly.ts';
import type { Cloud } from './cloud.ts';
import { type Images, obstacleToRun, tagOf } from './images.ts';
import type { Recorder } from './report.ts';
import { TaskContainer } from './task-container.ts';
import { only, type Task, taskOf } from './template.ts';

export interface Versions {
  readonly first: Assembly;
  /** The same with one more shard group. */
  readonly more: Assembly;
  /** The same with another source, so another image. */
  readonly next: Assembly;
}

const RATE = 300;
const CA_FILE = '/run/broker-ca.pem';
/** Of the time-out's function, which keeps 15 s for its answer. */
const SHORT_SECONDS = 25;
/** The lease queue of the group that only `more` has. */
const FOREIGN = leaseQueue(2);

export class Life {
  readonly #recorder: Recorder;
  readonly #stage: Stage;
  readonly #cloud: Cloud;
  readonly #versions: Versions;
  readonly #images: Images | undefined;
  readonly #folder: string;
  #runs = false;
  #started = 0;

  constructor(
    recorder: Recorder,
    stage: Stage,
    cloud: Cloud,
    versions: Versions,
    images: Images | undefined,
    folder: string,
  ) {
    this.#recorder = recorder;
    this.#stage = stage;
    this.#cloud = cloud;
    this.#versions = versions;
    this.#images = images;
    this.#folder = folder;
    recorder.deviations.push(
      'broker, logins: ports of this machine; the functions are called without the provider framework of the CDK',
      'functions: NODE_EXTRA_CA_CERTS, the endpoint of Secrets Manager and its credentials',
    );
  }

  async firstDeployment(): Promise<void> {
    const { first } = this.#versions;
    const { simulator } = this.#stage;
    if (!simulator || !this.#images) return;
    this.#cloud.putToken(simulator.token);
    const task = this.#task(first);
    const obstacle = await obstacleToRun(this.#images, task);
    if (obstacle !== undefined) return this.#recorder.leaveOut('service', `no container can run here: ${obstacle}`);
    this.#runs = true;
    this.#recorder.deviations.push(
      `tasks: ${ENV.port}, because they share this machine's network; ${ENV.discordApiUrl}, ${ENV.rabbitmqCaFile}, the endpoint of Secrets Manager and its credentials; the limits of open files and processes`,
    );
    await this.#recorder.step('service: deploy', async () => {
      const tasks = await this.#start(first);
      await this.#stage.ready();
      for (const each of tasks) await inspect(each, task);
      simulator.startTraffic(RATE);
      await this.#reading();
      return `${tasks.length} tasks as the task definition says, health check 0; ${RATE} events a second from here on`;
    });
  }

  async rotation(): Promise<void> {
    await this.#recorder.step('rotation: every login', async () => {
      const users = await this.#cloud.rotate(this.#versions.first);
      return `current: ${users.join(', ')}; every step twice, and all again when done`;
    });
  }

  /** As for leaked logins: the tasks still use the former ones, and have to connect again. */
  async revocation(): Promise<void> {
    await this.#recorder.step('logins: revoked', async () => {
      const closed = await this.#cloud.revoke(this.#versions.first);
      if (this.#runs && closed === 0)
        throw new Error('expected connections of the former logins to be closed, got none');
      if (this.#runs) await this.#reading();
      return `${closed} connections closed; everybody is back with the current login`;
    });
  }

  /** Somebody has made a queue under the name of one that an update wants. */
  async failedUpdate(): Promise<void> {
    const { first, more } = this.#versions;
    await this.#recorder.step('topology: update fails, rolled back', async () => {
      await this.#asAdministrator(async (channel) => {
        await channel.assertQueue(FOREIGN, { durable: true });
        channel.sendToQueue(FOREIGN, Buffer.from('not ours'), { persistent: true });
        await channel.waitForConfirms();
      });
      const reason = await refusal(this.#cloud.topology('Update', more, { before: first }));
      if (!reason.includes(FOREIGN)) throw new Error(`expected a refusal that names ${FOREIGN}, got: ${reason}`);
      await this.#cloud.topology('Update', first, { before: more });
      const { messageCount } = await this.#asAdministrator((channel) => channel.checkQueue(FOREIGN));
      if (messageCount !== 1) throw new Error(`expected ${FOREIGN} to keep its message, got ${messageCount}`);
      return `a foreign ${FOREIGN} is refused by name, and keeps its message`;
    });
  }

  async timeOut(): Promise<void> {
    const { first, more } = this.#versions;
    await this.#recorder.step('topology: time-out, rolled back', async () => {
      const options = { seconds: SHORT_SECONDS, once: true };
      this.#cloud.silent = true;
      const reason = await refusal(this.#cloud.topology('Update', more, { before: first, ...options }));
      const { Data } = await this.#cloud.topology('Update', first, { before: more, ...options });
      this.#cloud.silent = false;
      if (!Data?.Warning?.includes('was not asked')) throw new Error(`expected a warning, got ${JSON.stringify(Data)}`);
      return `a silent broker: ${reason.slice(0, 80)} …; the rollback succeeds without it, with a warning`;
    });
  }

  async laterUpdate(): Promise<void> {
    const { first, more } = this.#versions;
    await this.#recorder.step('topology: update and back', async () => {
      await this.#asAdministrator((channel) => channel.deleteQueue(FOREIGN));
      await this.#cloud.topology('Update', more, { before: first });
      const { Data } = await this.#cloud.topology('Update', first, { before: more });
      await this.#asAdministrator((channel) => channel.checkQueue(FOREIGN));
      return `kept: ${Data?.Kept?.slice(0, 120)} …`;
    });
  }

  /** New tasks first, then SIGTERM to the old ones, one after the other: ECS's rolling update. */
  async deployment(name: string, version: Assembly): Promise<void> {
    if (!this.#runs) return this.#recorder.leaveOut(name, 'no container runs here');
    const { reader, simulator, living } = this.#stage;
    await this.#recorder.step(name, async () => {
      const identified = simulator?.count('identify');
      const fresh = await this.#start(version);
      reader.resetSilences();
      await this.#end(living);
      await this.#reading();
      if (simulator?.count('identify') !== identified)
        throw new Error('expected every session to be resumed, got an IDENTIFY');
      const pause = Math.max(0, ...[...reader.silences.values()].map(({ longestMs }) => longestMs));
      return `${living.length} tasks out, ${fresh.length} in, image ${version.image.hash.slice(0, 12)}; longest pause of a shard ${pause} ms`;
    });
  }

  async tearDown(): Promise<void> {
    const { first } = this.#versions;
    const { simulator, reader } = this.#stage;
    if (this.#runs)
      await this.#recorder.step('verdict', async () => {
        simulator?.stopTraffic();
        const verdict = await this.#stage.settled();
        this.#recorder.verdict = verdict;
        const { lost, gaps, disorders, conflicts, unexpected, violations, examples } = verdict;
        if (lost + gaps + disorders + conflicts + unexpected + violations.length > 0)
          throw new Error([...violations, ...examples].join('; ') || JSON.stringify(verdict));
        return `${verdict.due} events due, all read; ${verdict.repeated} twice`;
      });
    await this.#recorder.step('tear-down', async () => {
      const tasks = this.#stage.living.length;
      await this.#end(this.#stage.living);
      await this.#cloud.topology('Delete', first);
      const { messageCount } = await this.#asAdministrator((channel) => channel.checkQueue(leaseQueue(0)));
      if (this.#runs && messageCount !== 1)
        throw new Error(`expected the record in ${leaseQueue(0)}, got ${messageCount}`);
      const output = [this.#cloud.log, ...this.#stage.tasks.map((task) => task.output)].join('\n');
      const leaked = this.#cloud.confidential.filter((value) => output.includes(value)).length;
      if (leaked > 0) throw new Error(`expected no secret in any output, got ${leaked}`);
      await reader.stop();
      return `${tasks} tasks ended with 0; the topology stays on the broker; no secret in any output`;
    });
  }

  /** As many tasks of a version as its service wants. */
  async #start(version: Assembly): Promise<TaskContainer[]> {
    const { broker, simulator } = this.#stage;
    const images = this.#images;
    if (!images || !broker.caFile || !simulator) throw new Error('expected an image, a simulator and TLS');
    const [, { DesiredCount }] = only(version.service, 'AWS::ECS::Service');
    const fresh = Array.from({ length: Number(DesiredCount) }, () => {
      this.#started += 1;
      const name = `rehearsal-${process.pid}-${this.#started}`;
      return new TaskContainer(images.engine, this.#task(version), {
        name,
        tag: tagOf(this.#task(version).image),
        logFile: join(this.#folder, `${name}.log`),
        environment: {
          ...this.#cloud.secrets.environment,
          [ENV.port]: '0',
          [ENV.discordApiUrl]: simulator.apiUrl,
          [ENV.rabbitmqCaFile]: CA_FILE,
        },
        mounts: { [broker.caFile ?? '']: CA_FILE },
      });
    });
    this.#stage.tasks.push(...fresh);
    await Promise.all(fresh.map((each) => each.listening()));
    await this.#stage.standing(this.#stage.living.length);
    return fresh;
  }

  /** Every shard is connected, and what it sends is read. */
  async #reading(): Promise<void> {
    await this.#stage.ready();
    const { events } = this.#stage.reader;
    await this.#stage.until('events are read', 60_000, () => this.#stage.reader.events > events + RATE);
  }

  async #end(tasks: Stage['living']): Promise<void> {
    for (const task of tasks) {
      const code = await task.terminate();
      if (code !== 0) throw new Error(`expected ${task.name} to end with 0 after SIGTERM, got ${code}`);
    }
  }

  #task({ broker, service }: Assembly): Task {
    return taskOf(service, (value) => this.#cloud.resolve([service, broker], value));
  }

  async #asAdministrator<T>(work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
    const { username, password } = this.#stage.broker;
    const connection = await connect(this.#stage.broker.amqpUrl({ username, password, vhost: VHOST }));
    try {
      return await work(await connection.createConfirmChannel());
    } finally {
      await connection.close();
    }
  }
}

async function refusal(event: Promise<unknown>): Promise<string> {
  return await event.then(
    () => {
      throw new Error('expected the event to fail, got an answer');
    },
    (error: Error) => error.message,
  );
}

/** Asks the container itself whether it is what the task definition says. */
async function inspect(container: TaskContainer, task: Task): Promise<void> {
  const [node = '', ...check] = task.healthCheck;
  const port = new URL(container.url).port;
  const text = await container.execute([node, '-p', INSIDE]);
  const { user, root, capabilities, first, variables } = JSON.parse(text) as {
    user: string;
    root: string;
    capabilities: string;
    first: string;
    variables: Record<string, string>;
  };
  const found = { user, readOnly: root === 'ro', nothing: /^0+$/.test(capabilities), init: first !== 'node' };
  const wanted = { user: task.user, readOnly: task.readOnly, nothing: task.dropped.includes('ALL'), init: task.init };
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`expected ${JSON.stringify(wanted)} of the container, got ${JSON.stringify(found)}`);
  for (const [name, value] of Object.entries(task.environment))
    if (name !== ENV.port && variables[name] !== value)
      throw new Error(`expected ${name} to be '${value}' in the container, got '${variables[name]}'`);
  await container.execute([node, ...check.map((part) => part.replace(`:${task.environment[ENV.port]}/`, `:${port}/`))]);
}

const INSIDE = `(({ readFileSync: read }) => JSON.stringify({
  user: process.getuid() + ':' + process.getgid(),
  root: / \\/ \\S+ (r[ow])\\b/.exec(read('/proc/self/mounts', 'utf8'))?.[1],
  capabilities: /CapBnd:\\s*(\\w+)/.exec(read('/proc/self/status', 'utf8'))?.[1],
  first: read('/proc/1/comm', 'utf8').trim(),
  variables: process.env,
}))(require('node:fs'))`;

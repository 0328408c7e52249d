// A deployment from the first task to the tear-down, each part a recorded step. Where tasks run, the other steps happen under
// their load. The verdict compares what the simulator sent with what the reader read.
import { join } from 'node:path';
import { connect } from 'amqplib';
import { ENV, leaseQueue } from '../../service/contract/names.ts';
import { asAdministrator } from '../rabbitmq/administrator.ts';
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

export interface DeploymentProps {
  readonly recorder: Recorder;
  readonly stage: Stage;
  readonly cloud: Cloud;
  readonly versions: Versions;
  /** Undefined where this machine cannot build them. */
  readonly images: Images | undefined;
  readonly folder: string;
}

const RATE = 300;
const CA_FILE = '/run/broker-ca.pem';
/** The function's limit in the step with the time-out: it keeps 15 s for its answer. */
const SHORT_SECONDS = 25;
/** The lease queue of the group that only `more` has. */
const FOREIGN = leaseQueue(2);

/** @throws what a step throws, once it is recorded */
export async function rehearseDeployment({
  recorder,
  stage,
  cloud,
  versions,
  images,
  folder,
}: DeploymentProps): Promise<void> {
  const { first, more, next } = versions;
  const { broker, reader, simulator } = stage;
  if (!simulator) throw new Error('expected a stage with the simulated Discord');
  recorder.deviations.push(
    'broker, logins: ports of this machine; the functions are called without the provider framework of the CDK',
    'functions: NODE_EXTRA_CA_CERTS, the endpoint of Secrets Manager and its credentials',
  );
  const taskFor = ({ broker, service }: Assembly): Task =>
    taskOf(service, (value) => cloud.resolve([service, broker], value));

  const runs = await canRun();
  if (runs)
    await recorder.step('service: deploy', async () => {
      const tasks = await startTasks(first, runs);
      await stage.ready();
      for (const each of tasks) await inspect(each, taskFor(first));
      simulator.startTraffic(RATE);
      await eventsAreRead();
      return `${tasks.length} tasks as the task definition says, health check 0; ${RATE} events a second from here on`;
    });

  await recorder.step('rotation: every login', async () => {
    const users = await cloud.rotate(first);
    return `current: ${users.join(', ')}; every step twice, and all again when done`;
  });

  await recorder.step('worker of its own: reads its queue', async () => {
    const connection = await connect(stage.url('analytics'));
    const channel = await connection.createChannel();
    const { messageCount } = await channel.checkQueue('events.analytics');
    await connection.close();
    if (runs && messageCount === 0) throw new Error('expected a copy of the events of members, got none');
    return `as the current user of its pair; ${messageCount} events of members`;
  });

  // The tasks still use the former logins, and have to connect again.
  await recorder.step('logins: revoked', async () => {
    const closed = await cloud.revoke(first);
    if (runs && closed === 0) throw new Error('expected connections of the former logins to be closed, got none');
    if (runs) await eventsAreRead();
    return `${closed} connections closed; every client has connected again with the current login`;
  });

  // A queue that is not ours has the name of one that an update declares.
  await recorder.step('topology: update fails, rolled back', async () => {
    await asAdministrator(broker, async (channel) => {
      await channel.assertQueue(FOREIGN, { durable: true });
      channel.sendToQueue(FOREIGN, Buffer.from('not ours'), { persistent: true });
    });
    const reason = await refusal(cloud.topology('Update', more, { before: first }));
    if (!reason.includes(FOREIGN)) throw new Error(`expected a refusal that names ${FOREIGN}, got: ${reason}`);
    await cloud.topology('Update', first, { before: more });
    const messages = await messagesIn(FOREIGN);
    if (messages !== 1) throw new Error(`expected ${FOREIGN} to keep its message, got ${messages}`);
    return `a foreign ${FOREIGN} is refused by name, and keeps its message`;
  });

  await recorder.step('topology: time-out, rolled back', async () => {
    const options = { seconds: SHORT_SECONDS, once: true };
    cloud.silent = true;
    const reason = await refusal(cloud.topology('Update', more, { before: first, ...options }));
    const { Data } = await cloud.topology('Update', first, { before: more, ...options });
    cloud.silent = false;
    if (!Data?.Warning?.includes('was not reached')) throw new Error(`expected a warning, got ${JSON.stringify(Data)}`);
    return `a silent broker: ${reason.slice(0, 80)} …; the rollback succeeds without it, with a warning`;
  });

  await recorder.step('topology: update and back', async () => {
    await asAdministrator(broker, (channel) => channel.deleteQueue(FOREIGN));
    await cloud.topology('Update', more, { before: first });
    const { Data } = await cloud.topology('Update', first, { before: more });
    await messagesIn(FOREIGN);
    return `kept: ${Data?.Kept?.slice(0, 120)} …`;
  });

  await handOver('service: deploy the next image', next);
  await handOver('service: roll back to the first', first);

  if (runs)
    await recorder.step('verdict', async () => {
      simulator.stopTraffic();
      const verdict = await stage.settled();
      recorder.verdict = verdict;
      const { lost, gaps, disorders, conflicts, unexpected, violations, examples } = verdict;
      if (lost + gaps + disorders + conflicts + unexpected + violations.length > 0)
        throw new Error([...violations, ...examples].join('; ') || JSON.stringify(verdict));
      return `${verdict.due} events due, all read; ${verdict.repeated} twice`;
    });

  await recorder.step('tear-down', async () => {
    const tasks = stage.living.length;
    await endTasks(stage.living);
    await cloud.topology('Delete', first);
    const messages = await messagesIn(leaseQueue(0));
    if (runs && messages !== 1) throw new Error(`expected the record in ${leaseQueue(0)}, got ${messages}`);
    const output = [cloud.log, ...stage.tasks.map((task) => task.output)].join('\n');
    const leaked = cloud.confidential.filter((value) => output.includes(value)).length;
    if (leaked > 0) throw new Error(`expected no secret in any output, got ${leaked}`);
    await reader.stop();
    return `${tasks} tasks ended with 0; the topology stays on the broker; no secret in any output`;
  });

  /** @returns the images, where containers of them can run here */
  async function canRun(): Promise<Images | undefined> {
    if (!images || !simulator) return undefined;
    cloud.putToken(simulator.token);
    const obstacle = await obstacleToRun(images, taskFor(first));
    if (obstacle !== undefined) {
      recorder.skip('service', `no container can run here: ${obstacle}`);
      return undefined;
    }
    recorder.deviations.push(
      `tasks: ${ENV.port}, because they share this machine's network; ${ENV.discordApiUrl}, ${ENV.rabbitmqCaFile}, the endpoint of Secrets Manager and its credentials; the limits of open files and processes`,
    );
    return images;
  }

  /** New tasks first, then SIGTERM to the old ones, one after the other: ECS's rolling update. */
  async function handOver(name: string, version: Assembly): Promise<void> {
    if (!runs) return recorder.skip(name, 'no container runs here');
    const { living } = stage;
    await recorder.step(name, async () => {
      const identified = simulator?.count('identify');
      const fresh = await startTasks(version, runs);
      reader.resetSilences();
      await endTasks(living);
      await eventsAreRead();
      if (simulator?.count('identify') !== identified)
        throw new Error('expected every session to be resumed, got an IDENTIFY');
      return `${living.length} tasks out, ${fresh.length} in, image ${version.image.hash.slice(0, 12)}; longest pause of a shard ${reader.longestSilenceMs} ms`;
    });
  }

  /** As many tasks of a version as its service wants. */
  async function startTasks(version: Assembly, { engine }: Images): Promise<TaskContainer[]> {
    const task = taskFor(version);
    const [, { DesiredCount }] = only(version.service, 'AWS::ECS::Service');
    const fresh = Array.from({ length: Number(DesiredCount) }, (_, index) => {
      const name = `rehearsal-${process.pid}-${stage.tasks.length + index + 1}`;
      return new TaskContainer(engine, task, {
        name,
        tag: tagOf(task.image),
        logFile: join(folder, `${name}.log`),
        environment: {
          ...cloud.secrets.environment,
          [ENV.port]: '0',
          [ENV.discordApiUrl]: simulator?.apiUrl ?? '',
          [ENV.rabbitmqCaFile]: CA_FILE,
        },
        mounts: { [broker.caFile ?? '']: CA_FILE },
      });
    });
    stage.tasks.push(...fresh);
    await Promise.all(fresh.map((each) => each.listening()));
    await stage.standing(stage.living.length);
    return fresh;
  }

  async function endTasks(tasks: Stage['living']): Promise<void> {
    for (const task of tasks) {
      const code = await task.terminate();
      if (code !== 0) throw new Error(`expected ${task.name} to end with 0 after SIGTERM, got ${code}`);
    }
  }

  /** Every shard is connected, and what it sends is read. */
  async function eventsAreRead(): Promise<void> {
    await stage.ready();
    const { events } = reader;
    await stage.until('events are read', 60_000, () => reader.events > events + RATE);
  }

  async function messagesIn(queue: string): Promise<number> {
    return await asAdministrator(broker, async (channel) => (await channel.checkQueue(queue)).messageCount);
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
  const { variables, ...found } = JSON.parse(await container.execute([node, '-p', INSIDE]));
  const wanted = { user: task.user, readOnly: task.readOnly, nothing: task.dropped.includes('ALL'), init: task.init };
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`expected ${JSON.stringify(wanted)} of the container, got ${JSON.stringify(found)}`);
  for (const [name, value] of Object.entries(task.environment))
    if (name !== ENV.port && variables[name] !== value)
      throw new Error(`expected ${name} to be '${value}' in the container, got '${variables[name]}'`);
  const port = new URL(container.url).port;
  await container.execute([node, ...check.map((part) => part.replace(`:${task.environment[ENV.port]}/`, `:${port}/`))]);
}

/** Whether a process in there has no capabilities (`nothing`), and whether another one is the init process. */
const INSIDE = `(({ readFileSync: read }) => JSON.stringify({
  user: process.getuid() + ':' + process.getgid(),
  readOnly: / \\/ \\S+ ro\\b/.test(read('/proc/self/mounts', 'utf8')),
  nothing: /CapBnd:\\s*0+$/m.test(read('/proc/self/status', 'utf8')),
  init: read('/proc/1/comm', 'utf8').trim() !== 'node',
  variables: process.env,
}))(require('node:fs'))`;

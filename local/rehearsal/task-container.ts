// A task of the image, run as its definition says. Like a process of the service it has an output, an end and a report;
// it ends as ECS ends it: SIGTERM, and SIGKILL when the stop timeout has passed.
import { spawnSync } from 'node:child_process';
import { homedir } from 'node:os';
import { IngestorProcess } from '../ingestor-process.ts';
import { type Engine, engineRun, runArguments } from './engine.ts';
import type { Task } from './template.ts';

export interface ContainerProps {
  readonly name: string;
  readonly tag: string;
  readonly logFile: string;
  /** Where it differs from the task's. */
  readonly environment: Readonly<Record<string, string>>;
  readonly mounts: Readonly<Record<string, string>>;
}

export class TaskContainer extends IngestorProcess {
  readonly #engine: Engine;
  readonly #stopTimeout: string;

  constructor(engine: Engine, task: Task, { name, tag, logFile, environment: other, mounts }: ContainerProps) {
    const args = runArguments(engine, task, { name, environment: { ...task.environment, ...other }, mounts });
    const program = [engine.kind, ...engine.store, ...args, tag, ...task.command] as const;
    super({ name, logFile, env: { HOME: homedir() }, program });
    this.#engine = engine;
    this.#stopTimeout = String(task.stopTimeoutSeconds);
    // However the rehearsal ends, the container does not outlive it.
    const endNow = (): void => void spawnSync(engine.kind, [...engine.store, 'rm', '--force', name]);
    process.once('exit', endNow);
    void this.exit.then(() => process.off('exit', endNow));
  }

  /** Runs a command inside. @throws Error when it fails */
  async execute(command: readonly string[]): Promise<string> {
    return await engineRun(this.#engine, ['exec', this.name, ...command]);
  }

  override async terminate(): Promise<number | NodeJS.Signals> {
    await engineRun(this.#engine, ['stop', '-t', this.#stopTimeout, this.name]);
    return await this.exit;
  }

  override async kill(): Promise<void> {
    await engineRun(this.#engine, ['rm', '--force', this.name]);
    await this.exit;
  }
}

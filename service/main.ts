// The process: reads the environment, runs the task, and sets the exit code: 0 drained, 1 failed (also when standard output is
// gone: drained before), 78 faulty configuration.

import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { parseConfig } from './config.ts';
import { EXIT_CONFIG } from './contract/limits.ts';
import { ConfigError } from './errors.ts';
import { createLog } from './log.ts';
import { Output } from './output.ts';
import { redact } from './redact.ts';
import { runTask } from './task.ts';

try {
  const config = parseConfig(process.env);
  const name = `${hostname()}-${process.pid}-${randomBytes(3).toString('hex')}`;
  const output = new Output(process.stdout);
  const base = { environment: config.environment, task: name };
  const redactedLog = createLog({ level: config.logLevel, base }, output);
  // Logged like everything else, without secrets. The sessions go to the next owner.
  process.on('uncaughtException', (err) => {
    redactedLog.log.fatal({ err }, 'a defect in the ingestor: the task ends');
    process.exit(1);
  });
  process.exit(await runTask(config, name, redactedLog, output));
} catch (error) {
  // Anything else is for the handler above.
  if (!(error instanceof ConfigError)) throw error;
  // Before the configuration is read there is no log: the same shape, by hand.
  for (const msg of error.faults)
    process.stdout.write(
      `${JSON.stringify({ level: 'fatal', time: new Date().toISOString(), msg: redact(msg, []) })}\n`,
    );
  process.exit(EXIT_CONFIG);
}

// What a drill asks of a node through rabbitmqctl.

import type { RabbitMqNode } from '../rabbitmq.ts';
import { ask } from './deadline.ts';

/** Runs rabbitmqctl; rejects as execFile does. */
export type Ctl = (...args: string[]) => Promise<string>;

const ALARM_WITHIN_MS = 30_000;

export function ctlVerbs(
  run: Ctl,
  memoryHighWatermark: string,
): Pick<RabbitMqNode, 'ctl' | 'rememberQueues' | 'memoryAlarm'> {
  const ctl: Ctl = async (...args) => {
    return await run(...args).catch((error) => {
      const said = `${error.stdout ?? ''}${error.stderr ?? ''}`.trim() || error.message;
      throw new Error(`rabbitmqctl ${args.join(' ')} failed: ${said}`, { cause: error });
    });
  };
  return {
    ctl,
    // Ra keeps the names in a table that it saves every three minutes.
    async rememberQueues() {
      await ctl('eval', '[{T, dets:sync(T)} || T <- dets:all()].');
    },
    async memoryAlarm(on) {
      await ctl('set_vm_memory_high_watermark', 'absolute', on ? '1' : memoryHighWatermark);
      const inForce = async () => {
        const alarms = await ctl('eval', 'rabbit_alarm:get_alarms().');
        return alarms.includes('memory') === on || undefined;
      };
      await ask(ALARM_WITHIN_MS, inForce, () => new Error(`The memory alarm did not go ${on ? 'on' : 'off'}.`));
    },
  };
}

// Discord counts 120 payloads in 60 s. https://discord.com/developers/docs/events/gateway#rate-limiting

import { expect, it } from 'vitest';
import { SendWindow } from '../../../service/gateway/send-window.ts';

/** As much as may be sent for three minutes, with regular heartbeats and those that Discord asks for each second. */
function sends(window: SendWindow, { asked }: { readonly asked: boolean }) {
  const sent: { readonly at: number; readonly kind: string }[] = [];
  const send = (at: number, kind: string) => {
    window.sent(at);
    sent.push({ at, kind });
  };
  for (let at = 0; at < 180_000; at += 100) {
    if (at % 41_200 === 0) send(at, 'heartbeat');
    if (asked && at % 1_000 === 500 && window.waitMs(at, 'askedHeartbeat') === 0) send(at, 'askedHeartbeat');
    while (window.waitMs(at, 'command') === 0) send(at, 'command');
  }
  return sent;
}

function mostWithinMinute(sent: readonly { readonly at: number }[]): number {
  const within = sent.map(({ at }) => sent.filter((each) => each.at >= at && each.at < at + 60_000));
  return Math.max(...within.map(({ length }) => length));
}

it.each([{ asked: false }, { asked: true }])('never more than 120 in any 60 s, and not many less: %j', (how) => {
  const sent = sends(new SendWindow(), how);
  expect(mostWithinMinute(sent)).toBeLessThanOrEqual(120);
  const late = sent.map((each) => ({ ...each, at: each.at < 30_000 ? each.at + 4_999 : each.at }));
  expect(mostWithinMinute(late), 'some reach Discord 5 s late').toBeLessThanOrEqual(120);
  const first = sent.filter(({ at }) => at < 60_000);
  expect(first.filter(({ kind }) => kind === 'command').length).toBeGreaterThanOrEqual(107);
  expect(sent.filter(({ kind }) => kind === 'heartbeat').length).toBe(5);
});

it.each([
  ['command', 110],
  ['askedHeartbeat', 117],
] as const)('returns when the next %s may be sent: after %d, when the oldest leaves the window', (kind, most) => {
  const window = new SendWindow();
  for (let n = 0; n < most - 1; n += 1) window.sent(1_000 + n);
  expect(window.waitMs(2_000, kind)).toBe(0);
  window.sent(2_000);
  expect([2_000, 65_999, 66_000].map((now) => window.waitMs(now, kind))).toEqual([64_000, 1, 0]);
});

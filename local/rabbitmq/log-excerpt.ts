// What a person needs of the log of a node that did not start: its first errors, which name the cause, and its last
// lines. RabbitMQ buries the cause under a crash report. Pure.

import { portClash } from './ports.ts';

const FIRST_ERRORS = 5;
const LAST_LINES = 20;
const LINE_WIDTH = 300;
/** An error with words in it, not only a banner's rule. */
const ERROR = /\[error\] <[\d.]+> .*\w|^ERROR|^epmd: .*(error|cannot|in use)/i;

export function excerpt(log: string): string {
  const lines = log.split('\n').map((line) => line.trimEnd().slice(0, LINE_WIDTH));
  const clash = portClash(log);
  const errors = lines.filter((line) => ERROR.test(line)).slice(0, FIRST_ERRORS);
  const last = lines.filter(Boolean).slice(-LAST_LINES);
  return [...(clash ? [`A port is in use: ${clash}`] : []), ...errors, '…', ...last].join('\n');
}

// A session of which nothing is heard.

import type { SessionEvents } from '../../service/session/session.ts';

export const NO_SESSION_EVENTS: SessionEvents = {
  lost: () => undefined,
  hole: () => undefined,
  replaced: () => undefined,
  heartbeatsLagged: () => undefined,
};

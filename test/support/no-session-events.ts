// Events of a session, all ignored.

import type { SessionEvents } from '../../service/session/session.ts';

export const NO_SESSION_EVENTS: SessionEvents = {
  lost: () => undefined,
  hole: () => undefined,
  replaced: () => undefined,
  heartbeatsLagged: () => undefined,
};

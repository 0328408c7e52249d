// The unit tests have a lower priority than the tests beside them, which must answer brokers and the simulated Discord
// in time.

import { setPriority } from 'node:os';

setPriority(5);

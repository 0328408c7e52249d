// The unit tests give way to the tests beside them, which have to answer brokers and the simulated Discord in time.

import { setPriority } from 'node:os';

setPriority(5);

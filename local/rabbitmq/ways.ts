// Which ways lead to a RabbitMQ node on this machine, best first. Pure: machine.ts looks, this decides.
// Production runs 4.3, so Debian's 4.3 unpacked into a folder comes before whatever older version is installed.

/** The Debian suite whose RabbitMQ is of production's series, 4.3. */
export const PRODUCTION_SUITE = 'forky';

export interface Machine {
  /** RABBITMQ_URL and RABBITMQ_MANAGEMENT_URL. */
  readonly givenUrl: string | undefined;
  readonly givenManagementUrl: string | undefined;
  /** RABBITMQ_FROM: `installed`, `docker`, or a Debian suite, to run on another version than production's. */
  readonly wanted: string | undefined;
  /** Suites whose RabbitMQ is already unpacked in the cache folder. */
  readonly unpackedSuites: readonly string[];
  /** Suites that this machine's apt can bring. */
  readonly aptSuites: readonly string[];
  /** The suite of the machine itself ("noble"), if it has apt. */
  readonly ownSuite: string | undefined;
  /** Path of an installed `rabbitmq-server`. */
  readonly installedServer: string | undefined;
  /** A Docker daemon answers. */
  readonly docker: boolean;
}

export type Way =
  | { readonly kind: 'given'; readonly url: string; readonly managementUrl: string | undefined }
  | { readonly kind: 'unpacked'; readonly suite: string }
  | { readonly kind: 'installed'; readonly server: string }
  | { readonly kind: 'docker' };

export function waysToRabbitMq(machine: Machine): Way[] {
  if (machine.givenUrl) {
    return [{ kind: 'given', url: machine.givenUrl, managementUrl: machine.givenManagementUrl }];
  }
  const { wanted, ownSuite } = machine;
  const ways: Way[] = [];
  const addSuite = (suite: string) => {
    if (machine.unpackedSuites.includes(suite) || machine.aptSuites.includes(suite))
      ways.push({ kind: 'unpacked', suite });
  };
  const addInstalled = () => {
    if (machine.installedServer) ways.push({ kind: 'installed', server: machine.installedServer });
  };
  const addDocker = () => {
    if (machine.docker) ways.push({ kind: 'docker' });
  };
  // Who names one wants that one: any other would be a silent answer to another question.
  if (wanted === 'installed') addInstalled();
  else if (wanted === 'docker') addDocker();
  else if (wanted) addSuite(wanted);
  else {
    addSuite(PRODUCTION_SUITE);
    addInstalled();
    addDocker();
    if (ownSuite && ownSuite !== PRODUCTION_SUITE) addSuite(ownSuite);
  }
  return ways;
}

/** Said when no way is left. */
export function nothingFound(wanted: string | undefined): string {
  return wanted
    ? `RABBITMQ_FROM=${wanted} leads to no RabbitMQ on this machine: expected "installed", "docker" or a Debian suite that apt offers.`
    : 'No RabbitMQ can be started on this machine: install rabbitmq-server (4.x) or Docker, or set RABBITMQ_URL to a broker with the management plugin.';
}

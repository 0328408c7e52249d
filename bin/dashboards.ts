// Writes the alarms as alert rules of Prometheus, and the dashboard as Grafana reads it. A test fails when what is committed,
// with production's defaults, is out of date.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { grafanaDashboard } from '../lib/grafana.ts';
import { ruleFile } from '../lib/prometheus-rules.ts';
import { merged } from '../lib/setting-values.ts';
import { settingsFor } from '../lib/settings.ts';

const HELP = `Usage: npm run dashboards -- [options]

  writes prometheus-alerts.yml and grafana-dashboard.json

  --to FOLDER          needed with any other option; without one: docs, where the project's own are
  --settings JSON      as of a deployment, such as {"shards":{"count":32,"standbys":2}}; default: production's. The number of
                       shards is needed: 'auto', which the service can do, is not possible, for the rules compare with it
  --job NAME           under which Prometheus scrapes the tasks; default: discord-ingestor
  --rabbitmq-job NAME  under which it scrapes RabbitMQ; default: rabbitmq
  --runbook URL        of the page that the rules link to, each with #<its name>; default: docs/runbook.md
  --help

A bot in an environment has a job and a file of its own: --job and --to for each further one.`;

try {
  const { values } = parseArgs({
    options: {
      to: { type: 'string' },
      settings: { type: 'string', default: '{}' },
      job: { type: 'string', default: 'discord-ingestor' },
      'rabbitmq-job': { type: 'string', default: 'rabbitmq' },
      runbook: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) console.log(HELP);
  else if (values.to === undefined && process.argv.length > 2) {
    console.error('--to: expected a folder with any other option, because docs has the files of the project');
    process.exitCode = 2;
  } else {
    const { to = join(import.meta.dirname, '../docs'), runbook } = values;
    if (runbook !== undefined && !/^https?:\/\/[^\s#]+$/.test(runbook))
      throw new Error(`--runbook: expected a URL with http(s):// and without #, got ${runbook}`);
    const settings = settingsFor('production', merged({}, values.settings));
    const jobs = { ingestor: values.job, rabbitmq: values['rabbitmq-job'] };
    for (const job of Object.values(jobs))
      if (!/^[\w./:-]+$/.test(job)) throw new Error(`expected a job of letters, digits and - _ . / : got ${job}`);
    mkdirSync(to, { recursive: true });
    writeFileSync(join(to, 'prometheus-alerts.yml'), ruleFile(settings, jobs, runbook));
    writeFileSync(join(to, 'grafana-dashboard.json'), `${JSON.stringify(grafanaDashboard(settings), null, 2)}\n`);
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS') ? 2 : 1;
}

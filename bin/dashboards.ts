// Writes the alarms as alert rules of Prometheus, and the dashboard as Grafana reads it. A test fails when what is committed,
// with production's defaults, is out of date.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { grafanaDashboard } from '../lib/grafana.ts';
import { ruleFile } from '../lib/prometheus-rules.ts';
import { merged, settingsFor } from '../lib/settings.ts';

const HELP = `Usage: npm run dashboards -- [options]

  writes prometheus-alerts.yml and grafana-dashboard.json

  --to FOLDER          default: docs
  --settings JSON      as of a deployment, such as {"shards":{"count":32,"standbys":2}}; default: production's
  --job NAME           under which Prometheus scrapes the tasks; default: discord-ingestor
  --rabbitmq-job NAME  under which it scrapes RabbitMQ; default: rabbitmq
  --help`;

try {
  const { values } = parseArgs({
    options: {
      to: { type: 'string', default: join(import.meta.dirname, '../docs') },
      settings: { type: 'string', default: '{}' },
      job: { type: 'string', default: 'discord-ingestor' },
      'rabbitmq-job': { type: 'string', default: 'rabbitmq' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) console.log(HELP);
  else {
    const settings = settingsFor('production', merged({}, values.settings));
    const jobs = { ingestor: values.job, rabbitmq: values['rabbitmq-job'] };
    for (const job of Object.values(jobs))
      if (!/^[\w./:-]+$/.test(job)) throw new Error(`expected a job of letters, digits and - _ . / : got ${job}`);
    mkdirSync(values.to, { recursive: true });
    writeFileSync(join(values.to, 'prometheus-alerts.yml'), ruleFile(settings, jobs));
    writeFileSync(
      join(values.to, 'grafana-dashboard.json'),
      `${JSON.stringify(grafanaDashboard(settings), null, 2)}\n`,
    );
  }
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS') ? 2 : 1;
}

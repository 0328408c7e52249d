// The metrics of alarms and panels in CloudWatch: the service's, with the namespace and the dimensions of its embedded metric
// format, and the namespace of the broker's. A name that the service does not publish does not compile.
import { Duration } from 'aws-cdk-lib';
import { Metric, type MetricOptions } from 'aws-cdk-lib/aws-cloudwatch';
import {
  DEFAULT_METRICS_NAMESPACE,
  ENVIRONMENT_DIMENSION,
  METRICS,
  METRICS_PERIOD_SECONDS,
  type Metric as Published,
} from '../service/contract/metrics.ts';
import type { OwnMetric } from './alarms.ts';
import type { Environment } from './settings.ts';

export const BROKER_NAMESPACE = 'AWS/AmazonMQ';

/** @default - period: a minute, as the service publishes */
export function ingestorMetric(metric: OwnMetric, environment: Environment, options: MetricOptions): Metric {
  const { cloudWatch: metricName, label }: Published = METRICS[metric.ingestor];
  return new Metric({
    namespace: DEFAULT_METRICS_NAMESPACE,
    metricName,
    dimensionsMap: { [ENVIRONMENT_DIMENSION]: environment, ...(label && { [label]: metric.queue ?? '' }) },
    statistic: metric.statistic,
    period: Duration.seconds(METRICS_PERIOD_SECONDS),
    ...options,
  });
}

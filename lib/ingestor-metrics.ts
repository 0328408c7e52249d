// The figures that the service publishes, as CloudWatch metrics: with the namespace and the dimensions under which its
// embedded metric format makes them. A name that the service does not publish cannot be written down here.
import { Duration } from 'aws-cdk-lib';
import { Metric, type MetricOptions } from 'aws-cdk-lib/aws-cloudwatch';
import {
  DEFAULT_METRICS_NAMESPACE,
  ENVIRONMENT_DIMENSION,
  METRICS,
  METRICS_PERIOD_SECONDS,
  type Metric as Published,
} from '../service/contract/metrics.ts';

export interface IngestorMetricProps extends Pick<MetricOptions, 'statistic' | 'period' | 'label' | 'color'> {
  readonly environment: string;
  /** For a figure that is published per queue. */
  readonly queue?: string | undefined;
}

/**
 * @default - period: what the service publishes in, a minute
 * @throws Error where a queue is missing, or given to a figure that has none
 */
export function ingestorMetric(name: keyof typeof METRICS, props: IngestorMetricProps): Metric {
  const published: Published = METRICS[name];
  const { environment, queue, ...options } = props;
  if ((published.label === 'Queue') !== (queue !== undefined)) {
    throw new Error(
      `${name}: expected ${published.label ? 'the name of a queue' : 'no queue'}, got ${queue ?? 'none'}`,
    );
  }
  return new Metric({
    namespace: DEFAULT_METRICS_NAMESPACE,
    metricName: published.cloudWatch,
    dimensionsMap: { [ENVIRONMENT_DIMENSION]: environment, ...(published.label && { [published.label]: queue ?? '' }) },
    period: Duration.seconds(METRICS_PERIOD_SECONDS),
    ...options,
  });
}

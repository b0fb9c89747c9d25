import { hashOf } from '../model/canonical-json.ts';
import { CRON_SHORTHANDS, cronTimes } from '../model/cron.ts';
import type { CompiledPlan } from '../model/pipeline.ts';

const MINUTES = 60;

/**
 * A valid cron line, begun later by some minutes that follow from a name alone, so that many plans of one line don't all begin in the same minute. Never so much
 * later that the line's next time, or the next hour, would come. Other fields stay as they are.
 */
export function spreadLine(line: string, name: string): string {
  const minutes = [...cronTimes(line).minutes].sort((one, other) => one - other);
  const room = Math.min(...minutes.map((minute, place) => (minutes[place + 1] ?? MINUTES) - minute));
  const later = Number.parseInt(hashOf(name).slice(0, 8), 16) % room;
  if (later === 0) return line;
  const rest = (CRON_SHORTHANDS[line] ?? line).split(' ').slice(1);
  return [minutes.map((minute) => minute + later).join(','), ...rest].join(' ');
}

/** The times at which a plan's schedules start, spread by its name. */
export function spreadTimes({
  name,
  schedule,
  retention,
  drill,
}: CompiledPlan): Pick<CompiledPlan, 'schedule' | 'retention' | 'drill'> {
  const spread = <T extends { readonly cron: readonly string[] }>(times: T): T => ({
    ...times,
    cron: times.cron.map((line) => spreadLine(line, name)),
  });
  const { cron } = retention ?? {};
  return {
    ...(schedule && { schedule: spread(schedule) }),
    ...(retention && { retention: cron === undefined ? retention : spread({ ...retention, cron }) }),
    ...(drill && {
      drill: drill.schedule === undefined ? drill : { ...drill, schedule: spread(drill.schedule) },
    }),
  };
}

import { hashOf } from '../model/canonical-json.ts';
import { CRON_SHORTHANDS, cronTimes } from '../model/cron.ts';
import type { CompiledPlan } from '../model/pipeline.ts';

const MINUTES = 60;

/**
 * The times at which a plan's schedules start, all of them begun later by the same number of minutes, which follows from the plan's name alone, so that many
 * plans of one line don't all begin in the same minute. Never so much later that the plan's next time, of whichever of its lines, or the next hour would come:
 * two lines that differ go on to differ, and stay in their order.
 */
export function spreadTimes({
  name,
  schedule,
  retention,
  drill,
}: CompiledPlan): Pick<CompiledPlan, 'schedule' | 'retention' | 'drill'> {
  const lines = [schedule?.cron, retention?.cron, drill?.schedule?.cron].flatMap((each) => each ?? []);
  const later = Number.parseInt(hashOf(name).slice(0, 8), 16) % roomOf(lines);
  const spread = <T extends { readonly cron: readonly string[] }>(times: T): T => ({
    ...times,
    cron: times.cron.map((line) => begunLater(line, later)),
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

/** The shortest time between two minutes at which one of the lines is due, or from the last one to the hour's end. In minutes, 1 to 60. */
function roomOf(lines: readonly string[]): number {
  const union = new Set(lines.flatMap((line) => [...cronTimes(line).minutes]));
  const minutes = [...union].sort((one, other) => one - other);
  return Math.min(MINUTES, ...minutes.map((minute, place) => (minutes[place + 1] ?? MINUTES) - minute));
}

function begunLater(line: string, later: number): string {
  if (later === 0) return line;
  const minutes = [...cronTimes(line).minutes].sort((one, other) => one - other);
  const rest = (CRON_SHORTHANDS[line] ?? line).split(' ').slice(1);
  return [minutes.map((minute) => minute + later).join(','), ...rest].join(' ');
}

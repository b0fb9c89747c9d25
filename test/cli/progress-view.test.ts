import { renderScreen } from '../../cli/progress-view.ts';
import type { Progress, StepProgress } from '../../workflows/progress.ts';

function screen(step: Partial<StepProgress>): string {
  const progress: Progress = {
    title: 'Backup',
    state: 'running',
    headline: 'upload',
    startedAtMs: 0,
    steps: [
      {
        id: 'upload',
        verb: 'upload',
        state: 'running',
        startedAtMs: 0,
        tasksTotal: 1,
        bytes: 1_000,
        totalBytes: 100_000,
        ...step,
      },
    ],
  };
  return renderScreen(progress, 1_000, 200);
}

test('time that is left is told while work is left, and not any more once all of it is done', () => {
  expect(screen({ tasksDone: 0 })).toContain(' left');
  expect(screen({ tasksDone: 1 })).toContain('1/1 chunks');
  expect(screen({ tasksDone: 1 })).not.toContain(' left');
});

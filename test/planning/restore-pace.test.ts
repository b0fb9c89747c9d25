import fc from 'fast-check';
import { estimateRestoreMs, restorePace } from '../../planning/recovery/restore-pace.ts';

const MIB = 1_048_576;

test('small restores tell the time that every restore needs, so a large one is not estimated by the rate of a small one', () => {
  const pace = restorePace([
    { bytes: 4_096, durationMs: 9_000 },
    { bytes: 100 * MIB, durationMs: 19_000 },
    { bytes: 200 * MIB, durationMs: 29_000 },
  ]);
  expect(pace).toBeDefined();
  if (pace === undefined) return;
  expect(estimateRestoreMs(pace, 1_000 * MIB)).toBeCloseTo(109_000, -3);
  expect(estimateRestoreMs(pace, 4_096)).toBeCloseTo(9_000, -3);
});

test('what is far larger than anything that was measured has no estimate', () => {
  const pace = restorePace([{ bytes: 4_096, durationMs: 9_000 }]);
  expect(pace).toBeDefined();
  if (pace === undefined) return;
  expect(estimateRestoreMs(pace, 1_000 * MIB)).toBeUndefined();
  expect(estimateRestoreMs(pace, 8_192)).toBe(18_000);
});

test('without a measurement there is no pace', () => {
  expect(restorePace([])).toBeUndefined();
  expect(restorePace([{ bytes: 0, durationMs: 5 }])).toBeUndefined();
});

test('restores that take a fixed time and a time for each byte are estimated as they are, though one of five was disturbed', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60_000 }),
      fc.integer({ min: 1, max: 1_000 }),
      fc.integer({ min: 0, max: 4 }),
      (fixedMs, nsPerByte, disturbed) => {
        const truth = (bytes: number) => fixedMs + (nsPerByte * bytes) / 1_000_000;
        const sizes = [1, 3, 9, 27, 81].map((factor) => factor * 10 * MIB);
        const pace = restorePace(
          sizes.map((bytes, index) => ({
            bytes,
            durationMs: truth(bytes) * (index === disturbed ? 3 : 1) + (index === disturbed ? 5_000 : 0),
          })),
        );
        if (pace === undefined) throw new Error('there is a pace');
        const wanted = truth(200 * 10 * MIB);
        const estimated = estimateRestoreMs(pace, 200 * 10 * MIB) ?? 0;
        expect(estimated).toBeGreaterThan(wanted * 0.9 - 1);
        expect(estimated).toBeLessThan(wanted * 1.1 + 1);
      },
    ),
  );
});

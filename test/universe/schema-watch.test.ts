import { spanAround, withLook } from '../../engines/universe/off-cluster/schema-watch.ts';
import type { SchemaSpan } from '../../repository/off-cluster.ts';

/** What looks at a schema prove, by the universe's clock: a look counts from a second after it, and up to a second before it. */

const time = (minute: number) => `2026-11-24T12:${String(minute).padStart(2, '0')}:00.000000Z`;

function looks(
  ...found: readonly (readonly [minute: number, schema: string, version: string, back?: true])[]
) {
  return found.reduce<readonly SchemaSpan[]>(
    (spans, [minute, schema, version, back]) =>
      withLook(spans, { schema, version, since: time(minute), until: time(minute) }, back === true),
    [],
  );
}

test('equal looks are one span; a change begins the next, and so does a database that was taken back in place', () => {
  expect(looks([1, 'a', '1'], [2, 'a', '1'], [3, 'b', '2'], [4, 'b', '2'])).toMatchObject([
    { schema: 'a', since: time(1), until: time(2) },
    { schema: 'b', since: time(3), until: time(4) },
  ]);
  expect(looks([1, 'a', '1'], [2, 'a', '1', true], [3, 'a', '1'])).toMatchObject([
    { until: time(1) },
    { since: time(2), until: time(3) },
  ]);
});

test('ANALYZE raises the version and changes no schema: the span goes on, and says since when', () => {
  expect(looks([1, 'a', '1'], [2, 'a', '2'], [3, 'a', '2'])).toEqual([
    { schema: 'a', since: time(1), until: time(3), version: '2', versionSince: time(2) },
  ]);
});

test('an instant has a span only where looks before and after it agree', () => {
  const spans = looks([1, 'a', '1'], [3, 'a', '1'], [5, 'b', '2'], [7, 'b', '2']);
  expect(spanAround(spans, time(2))?.schema).toBe('a');
  expect(spanAround(spans, time(4))).toBeUndefined();
  expect(spanAround(spans, time(6))?.since).toBe(time(5));
  expect(spanAround(spans, time(8))).toBeUndefined();
  expect(spanAround(spans, time(0))).toBeUndefined();
});

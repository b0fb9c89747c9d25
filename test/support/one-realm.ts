/**
 * Jest runs tests in a separate realm, so an error thrown by Node's own modules is no `instanceof Error` there, although it is everywhere
 * else. This makes it one (https://github.com/jestjs/jest/issues/2549).
 */
const ordinary = Function.prototype[Symbol.hasInstance];

Object.defineProperty(Error, Symbol.hasInstance, {
  value(this: ErrorConstructor, candidate: unknown): boolean {
    return this === Error ? isError(candidate) : ordinary.call(this, candidate);
  },
});

function isError(candidate: unknown): boolean {
  return Object.prototype.toString.call(candidate) === '[object Error]';
}

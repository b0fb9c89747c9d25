;; Takes the rows out of CopyData messages ("Message Formats" of PostgreSQL's documentation: 'd', a big-endian length that
;; counts itself, one row). In JavaScript each row costs a call into the engine, which takes ten times as long as its copy.
;;
;; `npm run wasm` translates this file to copy-rows.wasm.ts.
(module
  (memory (import "rows" "memory") 1)

  ;; Copies the rows of whole messages in [from, end) to [to, limit), and stops before the first message that is something else,
  ;; is not all there, or has no room. All four are addresses. Returns how far it read, how far it wrote, and the number of rows.
  (func (export "takeRows")
    (param $from i32) (param $end i32) (param $to i32) (param $limit i32)
    (result i32 i32 i32)
    (local $rows i32)
    (local $length i32)
    (block $stop
      (loop $next
        (br_if $stop (i32.lt_u (i32.sub (local.get $end) (local.get $from)) (i32.const 5)))
        (br_if $stop (i32.ne (i32.load8_u (local.get $from)) (i32.const 0x64)))
        (local.set $length
          (i32.sub
            (i32.or
              (i32.or
                (i32.shl (i32.load8_u offset=1 (local.get $from)) (i32.const 24))
                (i32.shl (i32.load8_u offset=2 (local.get $from)) (i32.const 16)))
              (i32.or
                (i32.shl (i32.load8_u offset=3 (local.get $from)) (i32.const 8))
                (i32.load8_u offset=4 (local.get $from))))
            (i32.const 4)))
        ;; Unsigned, so that a length below 4 stops here too.
        (br_if $stop
          (i32.gt_u (local.get $length) (i32.sub (i32.sub (local.get $end) (local.get $from)) (i32.const 5))))
        (br_if $stop (i32.gt_u (local.get $length) (i32.sub (local.get $limit) (local.get $to))))
        (memory.copy (local.get $to) (i32.add (local.get $from) (i32.const 5)) (local.get $length))
        (local.set $from (i32.add (i32.add (local.get $from) (i32.const 5)) (local.get $length)))
        (local.set $to (i32.add (local.get $to) (local.get $length)))
        (local.set $rows (i32.add (local.get $rows) (i32.const 1)))
        (br $next)))
    (local.get $from)
    (local.get $to)
    (local.get $rows)))

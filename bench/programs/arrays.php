<?php
// Arrays by string keys, sorting and digests. Argument: rounds.
for ($r = 0; $r < (int) $argv[1]; $r++) {
    $sums = [];
    for ($i = 0; $i < 60000; $i++) {
        $key = 'k' . ($i * 7919 % 5003);
        $sums[$key] = ($sums[$key] ?? 0) + sqrt($i + $r);
    }
    uasort($sums, fn($a, $b) => $b <=> $a);
    echo "round $r " . array_key_first($sums) . ' ' . md5(json_encode($sums)) . "\n";
    flush();
}

# Prints MIB mebibytes of text that compresses about as prose does, the same for the same SEED on every machine:
# own generator, because rand() may differ between builds of perl.
use strict;
use warnings;

my ($state, $mib) = @ARGV;
sub next_below {
    $state = ($state * 1103515245 + 12345) & 0x7fffffff;
    return ($state >> 8) % $_[0];
}
my @words = map {
    join '', map { chr(97 + next_below(26)) } 0 .. 1 + next_below(9)
} 1 .. 4000;
my ($left, $line) = ($mib << 20, '');
while ($left > 0) {
    $line = join(' ', map { $words[next_below(1 + next_below(4000))] } 1 .. 12) . ' ' . next_below(100000) . "\n";
    $line = substr($line, 0, $left) if length $line > $left;
    print $line;
    $left -= length $line;
}

#!/usr/bin/perl
# An hour of LLM traffic, the same every time, in the columns of the Azure LLM inference trace: bursts of
# arrivals, and log-normal token counts with that trace's means.

use strict;
use warnings;

use constant { SEED => 2023, REQUESTS => 19_366, SECONDS => 3600 };

srand SEED;

sub exponential { return -log(1 - rand) }

sub normal { return sqrt(2 * exponential()) * cos(6.283185307 * rand) }

sub log_normal
{
	my ($mean, $deviation, $most) = @_;
	my $value = int exp($mean + $deviation * normal());

	return $value < 1 ? 1 : $value > $most ? $most : $value;
}

# the load drifts from minute to minute, and requests arrive at random within it
my @at;
my $load = 1;
my $now = 0;
foreach (1 .. REQUESTS)
{
	$load = 0.98 * $load + 0.02 * exp(0.6 * normal());
	push @at, $now += exponential() / $load;
}
my $scale = SECONDS / $now;

print "TIMESTAMP,ContextTokens,GeneratedTokens\n";
foreach my $at (map { $_ * $scale } @at)
{
	printf "2023-11-16 %02d:%02d:%010.7f,%d,%d\n",
	  18 + $at / 3600, $at / 60 % 60, $at - 60 * int($at / 60),
	  log_normal(6.63, 0.99, 14_050), log_normal(5.02, 0.86, 1_000);
}

#!/usr/bin/perl
# generate.pl [REQUESTS [SECONDS]]: LLM traffic, the same every time, in the columns of the Azure LLM inference
# trace: bursts of arrivals, and log-normal token counts with that trace's means.  As many requests in an hour as that
# trace has, unless told otherwise; five hours at most.

use strict;
use warnings;

use constant SEED => 2023;

my ($requests, $seconds) = @ARGV;
$requests //= 19_366;
$seconds //= 3600;

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
foreach (1 .. $requests)
{
	$load = 0.98 * $load + 0.02 * exp(0.6 * normal());
	push @at, $now += exponential() / $load;
}
my $scale = $seconds / $now;

print "TIMESTAMP,ContextTokens,GeneratedTokens\n";
foreach my $at (map { $_ * $scale } @at)
{
	printf "2023-11-16 %02d:%02d:%010.7f,%d,%d\n",
	  18 + $at / 3600, $at / 60 % 60, $at - 60 * int($at / 60),
	  log_normal(6.63, 0.99, 14_050), log_normal(5.02, 0.86, 1_000);
}

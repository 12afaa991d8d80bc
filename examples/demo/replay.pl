#!/usr/bin/perl
# Replays LLM requests as an application would, over several connections at once: ask before each
# request, report after it.
#
#     replay.pl OWNER CLIENTS TRACE.csv
#
# The trace has the columns TIMESTAMP,ContextTokens,GeneratedTokens.  It does not say who asked, so each
# request is given an agent and a model by a hash of its number: some agents are busier than others.
# Requests go out as fast as the server answers; the trace's own timestamps only give their order.

use strict;
use warnings;

use DBI;
use Digest::MD5 qw(md5);
use IO::Handle;
use JSON::PP;
use Time::HiRes qw(time);

my ($owner, $clients, $trace) = @ARGV;
my $json = JSON::PP->new->canonical;

# One prepared statement before the request: may this agent send one more, of so many tokens?
# (An application would say its prompt's tokens plus max_tokens; the trace knows the answer's length.)
my $CHECK = <<'SQL';
select is_granted, chains
from gov_check_all($1, $2::jsonb, $3::jsonb)
SQL

# One after it: what was used, and what it cost by the prices.  The key makes a retry harmless.
my $INGEST = <<'SQL';
select event_ids
from gov_ingest_all($1, $2::jsonb, $3::jsonb, idempotency_key => $4)
SQL

# Which columns hold the tokens is read from the heading.
sub read_trace
{
	my ($path) = @_;
	my (%column, @tokens);

	open my $file, '<', $path or die "cannot read $path: $!\n";
	while (my $line = <$file>)
	{
		$line =~ s/[\r\n]+$//;
		my @field = split /,/, $line;
		if (!%column)
		{
			@column{@field} = 0 .. $#field;
			exists $column{$_} or die "$path has no column $_\n"
			  for qw(ContextTokens GeneratedTokens);
			next;
		}
		my ($context, $generated) = @field[ @column{qw(ContextTokens GeneratedTokens)} ];
		($context // '') =~ /^\d+$/ && ($generated // '') =~ /^\d+$/
		  or die "$path, line $.: token counts are whole numbers\n";
		push @tokens, [ $context, $generated ];
	}
	return \@tokens;
}

# The agent and the model behind a request, and whether it can wait; agent-001 is the busiest.
sub dimensions
{
	my ($number) = @_;
	my ($who, $what, $when) = map { $_ / 2**32 } unpack 'NNN', md5("request $number");
	my $model = $what < 0.50 ? 'small' : $what < 0.85 ? 'medium' : 'large';

	return $json->encode(
		{   agentId => sprintf('agent-%03d', 1 + int(240 * $who**1.6)),
			model   => $model,
			$when < 0.10 ? (batch => JSON::PP::true) : ()
		});
}

# What a request uses: itself, its tokens, and dollars for tokens in, in from the model's cache, and out. Of a long prompt
# the cache has half.
sub amounts
{
	my ($context, $generated) = @_;
	my $cached = $context > 1024 ? int($context / 2) : 0;

	return $json->encode(
		{   'ai-requests' => 1,
			'ai-tokens' => $context + $generated,
			'ai-dollars' => { input => $context - $cached, cached => $cached, output => $generated + 0 }
		});
}

# The first budget on the way up that said no.
sub denied_by
{
	my ($chains) = @_;

	foreach my $node (map { @$_ } @{ $json->decode($chains) })
	{
		next if $node->{isGranted};
		my $scope = join ', ', @{ $node->{scopeEntityIds} };
		my $cadence = { PT1M => 'minute', P1M => 'month' }->{ $node->{cadence} };
		my $capability = $node->{capabilityId} =~ s/^ai-//r;
		return "$capability a $cadence of $node->{entityId}" . ($scope ? " on $scope" : '');
	}
	return 'no budget';
}

# Every CLIENTS-th request is this client's; one line for each goes to the parent.
sub client
{
	my ($mine, $tokens, $report) = @_;
	my $db = DBI->connect('dbi:Pg:', undef, undef, { RaiseError => 1, PrintError => 0 });
	my $check = $db->prepare($CHECK);
	my $ingest = $db->prepare($INGEST);

	for (my $n = $mine; $n < @$tokens; $n += $clients)
	{
		my $dimensions = dimensions($n);
		my $amounts = amounts(@{ $tokens->[$n] });

		$check->execute($owner, $amounts, $dimensions);
		my ($granted, $chains) = $check->fetchrow_array;
		$check->finish;
		if ($granted)
		{
			$ingest->execute($owner, $amounts, $dimensions, sprintf('req-%06d', $n));
			$ingest->finish;
		}
		syswrite $report, ($granted ? 'granted' : denied_by($chains)) . "\n";
	}
	$db->disconnect;
	return;
}

sub commas
{
	my ($number) = @_;
	1 while $number =~ s/^(\d+)(\d{3})/$1,$2/;
	return $number;
}

my $tokens = read_trace($trace);
my ($granted, $denied, %denied_by) = (0, 0);
my $start = time;
my $shown = $start;

sub show_progress
{
	my $done = $granted + $denied;

	# a terminal keeps one line of it, a log all of them
	printf "%s  %7s of %s requests   granted %7s   denied %6s   %6s a second%s",
	  -t STDOUT ? "\r" : '',
	  (map { commas($_) } $done, scalar @$tokens, $granted, $denied,
		int($done / (time - $start + 1e-3))),
	  -t STDOUT ? '' : "\n";
	STDOUT->flush;
	$shown = time;
	return;
}

pipe my $answers, my $report or die "pipe: $!\n";
STDOUT->flush;
my @children;
foreach my $n (0 .. $clients - 1)
{
	my $child = fork // die "fork: $!\n";
	if ($child == 0)
	{
		close $answers;
		eval { client($n, $tokens, $report); 1 } or do { print STDERR $@; exit 1 };
		exit 0;
	}
	push @children, $child;
}
close $report;

while (my $answer = <$answers>)
{
	chomp $answer;
	if ($answer eq 'granted') { $granted++ }
	else { $denied++; $denied_by{$answer}++ }
	show_progress() if time - $shown >= 1;
}
show_progress();

my $failed = 0;
foreach my $child (@children)
{
	waitpid $child, 0;
	$failed ||= $?;
}
exit 1 if $failed;

print "\n" if -t STDOUT;
printf "\n%s requests in %.1f seconds over %d connections: %s granted, %s denied.\n",
  commas(scalar @$tokens), time - $start, $clients, commas($granted), commas($denied);
my @by = sort { $denied_by{$b} <=> $denied_by{$a} || $a cmp $b } keys %denied_by;
print "\nDenied by (the first budget on the way up that said no):\n" if @by;
printf "  %6s  %s\n", commas($denied_by{$_}), $_ for @by[ 0 .. ($#by < 11 ? $#by : 11) ];
printf "  ... and %d more budgets\n", @by - 12 if @by > 12;

# The documents: their SQL prints what they say, their links lead somewhere, and the reference is what the catalogs say.
#
# Each ```sql block of a document is run, in order, in one session, in a database of the document's own; where a ``` block
# follows, that is what it has to print (trailing spaces do not count).  What cannot be run has another fence.  A document
# that does not say "create extension governance;" finds the extension there.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use File::Basename;
use File::Find;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $root = dirname(dirname($FindBin::RealBin));

# All documents of the tree, by their path in it.
my %text;
find(
	{
		no_chdir => 1,
		wanted => sub {
			my $path = substr $File::Find::name, length("$root/");

			$File::Find::prune = 1 if $path =~ m{(?:^|/)(?:\.git|node_modules|tmp_check)$};
			$text{$path} = slurp_file("$root/$path") if $path =~ /\.md$/ && -f "$root/$path";
		}
	},
	$root);

# Those for users, all of whose names are of SQL.
my @for_users = qw(README.md SECURITY.md docs/guide.md docs/recipes.md docs/operations.md docs/reference.md);

foreach my $document (@for_users, 'CONTRIBUTING.md', 'CHANGELOG.md', 'docs/architecture.md')
{
	ok(exists $text{$document}, "there is $document");
}
cmp_ok($text{'README.md'} =~ tr/\n//, '<=', 600, 'the README can be read in one go');

my $node = gov_node(
	'readme',
	extension => 0,
	init => { extra => [ '--locale=C', '--encoding=UTF8' ] },
	conf => "timezone = 'UTC'\nwal_level = logical");

# No minute, day or month may pass between two blocks: start the engine's clock at noon in the middle of next month.
my $seconds = $node->safe_psql('postgres',
	q{select floor(extract(epoch from date_trunc('month', now()) + interval '1 month 14 days 12 hours' - now()))});

$node->safe_psql('postgres', "alter system set governance.clock_offset = '${seconds}s'");
$node->restart;

# ---------------------------------------------------------------- the SQL

sub trimmed
{
	my ($text) = @_;

	$text =~ s/[ \t]+$//gm;
	$text =~ s/\A\n+|\n+\z//g;
	return $text;
}

sub blocks
{
	my ($text) = @_;
	my @blocks;

	while ($text =~ /^```sql\n(.*?)^```\n(?:\n```\n(.*?)^```\n)?/gms)
	{
		my ($sql, $printed) = ($1, $2);
		my $line = 1 + (substr($text, 0, $-[0]) =~ tr/\n//);

		push @blocks, { line => $line, sql => $sql, printed => $printed };
	}
	return @blocks;
}

# What each block printed, by its line.
sub printed
{
	my ($db, @blocks) = @_;
	my $script = join '', map { "\\echo \@\@$_->{line}\n$_->{sql}" } @blocks;
	my $output = '';

	IPC::Run::run([ 'psql', '-X', '-d', $node->connstr($db) ], '<', \$script, '>&', \$output);
	return $output =~ /^@@(\d+)\n(.*?)(?=^@@|\z)/gms;
}

sub run_document
{
	my ($document, @blocks) = @_;

	$node->safe_psql('postgres', 'create database document');
	$node->safe_psql('document', 'create extension governance')
	  unless $text{$document} =~ /^create extension governance\b/m;
	my %printed = printed('document', @blocks);

	foreach my $block (@blocks)
	{
		my $got = trimmed($printed{ $block->{line} } // 'nothing: the session ended before');
		my $name = "$document, the block at line $block->{line}";

		if (defined $block->{printed})
		{
			is($got, trimmed($block->{printed}), $name);
		}
		else
		{
			unlike($got, qr/^ERROR:/m, "$name runs");
		}
	}
	my $schema = $node->safe_psql('document', q{select extnamespace::regnamespace from pg_extension where extname = 'governance'});
	is($node->safe_psql('document', "select * from $schema.gov_verify()"), '', "$document: the counts equal the ledger");

	# Roles are for all databases.
	my @roles = split /\n/, $node->safe_psql('postgres', q{select quote_ident(rolname) from pg_roles where not rolsuper and rolname !~ '^pg_'});

	$node->safe_psql('postgres', 'drop database document with (force)');
	$node->safe_psql('postgres', "drop role $_") foreach @roles;
}

foreach my $document (sort keys %text)
{
	my @blocks = blocks($text{$document});

	run_document($document, @blocks) if @blocks;
}
cmp_ok(scalar blocks($text{'docs/guide.md'}), '>', 40, 'the guide has SQL');
cmp_ok(scalar blocks($text{'docs/recipes.md'}), '>', 10, 'the recipes have SQL');
cmp_ok(scalar blocks($text{'README.md'}), '>', 5, 'the README has some');

# ---------------------------------------------------------------- links

# Without what is code, whose brackets are no links.
sub prose
{
	my ($text) = @_;

	$text =~ s/^(```+).*?^\1$//gms;
	$text =~ s/`[^`\n]+`//g;
	return $text;
}

# The places that a document can be entered at, by the names that GitHub gives them.
sub anchors
{
	my ($text) = @_;
	my %anchors;

	$text =~ s/^(```+).*?^\1$//gms;
	foreach my $heading ($text =~ /^#+ (.*)$/gm)
	{
		my $anchor = lc $heading;

		$anchor =~ s/[^\w\- ]//g;
		$anchor =~ s/ /-/g;
		$anchors{$anchor} = 1;
	}
	return \%anchors;
}

sub broken_link
{
	my ($document, $link) = @_;
	my ($file, $anchor) = split /#/, $link, 2;
	my $path = $file eq '' ? $document : join '/', grep { $_ ne '.' } (dirname($document), $file);

	1 while $path =~ s{[^/]+/\.\./}{};
	return 'no such file' unless -e "$root/$path";
	return 'no such heading' if defined $anchor && !anchors($text{$path} // '')->{$anchor};
	return;
}

foreach my $document (sort keys %text)
{
	my @broken;

	foreach my $link (prose($text{$document}) =~ /\[[^\]]*\]\(([^)\s]+)\)/g)
	{
		next if $link =~ /^(?:https?|mailto):/;
		my $why = broken_link($document, $link);
		push @broken, "$link: $why" if $why;
	}
	is(join("\n", @broken), '', "$document: its links lead somewhere");
}

# ---------------------------------------------------------------- the reference

sub rows
{
	my ($sql) = @_;

	return split /\n/, $node->safe_psql('postgres', $sql);
}

my $members = q{
	pg_extension e
	join pg_depend d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e' and e.extname = 'governance'};

$node->safe_psql('postgres', 'create extension governance');
is( join("\n", rows(qq{
	select pg_describe_object(d.classid, d.objid, a.attnum) from $members
	left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind in ('r', 'v')
	left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
	where (c.oid is not null and col_description(c.oid, a.attnum) is null)
		or (d.classid in ('pg_class'::regclass, 'pg_proc'::regclass) and obj_description(d.objid, d.classid::regclass::name) is null)
	order by 1})),
	'', 'everything has a comment: functions, tables, views, sequences, and every column');

my ($reference, $errors) = ('', '');
ok( IPC::Run::run([ $^X, "$root/docs/reference.pl", $node->connstr('postgres') ], '>', \$reference, '2>', \$errors),
	'docs/reference.pl runs') or diag $errors;
SKIP:
{
	skip 'there is nothing to compare', 1 if $errors ne '';
	my ($file, $diff) = ("$PostgreSQL::Test::Utils::tmp_check/reference.md", '');

	append_to_file($file, $reference);
	IPC::Run::run([ 'diff', '-u', "$root/docs/reference.md", $file ], '>', \$diff);
	is($diff, '', 'docs/reference.md says what the catalogs say: "make docs" writes it anew');
}

# What the functions raise is in the table of SQLSTATEs.
my ($functions) = $text{'docs/reference.md'} =~ /^## Functions\n(.*?)^## /ms;
my %raised = map { $_ => 1 } map { /`([0-9A-Z]{5})`/g } $functions =~ /^\*\*Errors:\*\*\n\n((?:- .*\n)+)/mg;

cmp_ok(scalar keys %raised, '>', 10, 'functions raise errors');
foreach my $sqlstate (sort keys %raised)
{
	ok($text{'docs/reference.md'} =~ /^\| `$sqlstate` \|/m, "$sqlstate is in the table of SQLSTATEs");
}
foreach my $fact (rows('select name from gov_stats'))
{
	ok($text{'docs/operations.md'} =~ /`$fact`/, "the fact $fact is explained");
}

# Nothing is described that is not there.
my %known = map { $_ => 1 } rows(qq{
	select p.proname from $members join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
	union select c.relname from $members join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
	union select name from pg_settings where name like 'governance.%'});

foreach my $document (@for_users)
{
	my @names = ($text{$document} =~ /(?<!\w)(gov_\w+)/g, $text{$document} =~ /`(governance\.[a-z_]*[a-z])[` ]/g);
	my %unknown = map { $_ => 1 } grep { !$known{$_} } @names;

	is(join(' ', sort keys %unknown), '', "$document: every name in it exists");
}

# ---------------------------------------------------------------- where they are installed

my $installed = $node->config_data('--docdir') . '/extension/governance';

foreach my $document (qw(README.md CHANGELOG.md SECURITY.md), grep { m{^docs/} } sort keys %text)
{
	ok(-f "$installed/$document", "$document is installed");
}

$node->stop;
done_testing();

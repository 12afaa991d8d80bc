#!/usr/bin/env perl
# Writes docs/reference.md to its output:
#
#   docs/reference.pl [CONNINFO] >docs/reference.md
#
# in a database that has the extension, of a server that preloads the library; "make docs" makes one for it.  What is
# written by hand is in docs/reference.in; what a line in {{ }} there asks for is read from the catalogs:
#
#   {{functions NAME...}}   a table of these functions, then a section for each
#   {{relations NAME...}}   a section for each of these tables and views
#   {{settings}}            the table of the settings
#
# The comment on a function is a paragraph, an empty line, and then lines of the form "NAME, NAME: text; NAME: text", with
# arguments and then "result", "errors" and "since" in place of a name; a line that begins with a space goes on with the
# one before.  A function or relation that the text does not ask for, and an argument that a comment leaves out, are
# errors.

use strict;
use warnings;

use FindBin;

my $conninfo = shift // '';

# ---------------------------------------------------------------- the catalogs

sub rows
{
	my ($sql) = @_;

	local $ENV{PGOPTIONS} = '-c client_min_messages=warning -c intervalstyle=postgres -c quote_all_identifiers=off';
	open my $psql, '-|', 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-F', "\x1f", '-R', "\x1e", '-d', $conninfo, '-c', $sql
	  or die "psql: $!\n";
	local $/;
	my $all = <$psql>;
	close $psql or die "psql failed\n";
	$all =~ s/\n\z//;
	return map { [ split /\x1f/, $_, -1 ] } split /\x1e/, $all;
}

my $members = q{
	pg_extension e
	join pg_depend d on e.extname = 'governance' and d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid
		and d.deptype = 'e'};

my %functions;
foreach (rows(qq{
	select p.proname, p.proretset, format_type(p.prorettype, null), obj_description(p.oid, 'pg_proc'),
		a.n, coalesce(p.proargmodes[a.n]::text, 'i'), p.proargnames[a.n], format_type(a.type, null),
		pg_get_function_arg_default(p.oid, a.n), p.oid
	from $members
	join pg_proc p on d.classid = 'pg_proc'::regclass and p.oid = d.objid
	left join lateral unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality b (type, n) on true
	left join lateral (select b.type, b.n::int) a on true
	where p.proname !~ '^_' and p.prorettype <> 'trigger'::regtype
	order by 1, p.pronargs, p.oid, a.n}))
{
	my ($name, $is_set, $returns, $comment, $n, $mode, $argument, $type, $default, $oid) = @$_;
	my $function = $functions{$name} //= {
		oid => $oid, returns => $returns, is_set => $is_set eq 't', comment => $comment, in => [], out => [] };

	# one of the same name, with more arguments
	if ($function->{oid} ne $oid)
	{
		my $others = $function->{others} //= [];

		push @$others, { oid => $oid, returns => $returns, is_set => $is_set eq 't', comment => $comment, in => [], out => [] }
		  unless @$others && $others->[-1]{oid} eq $oid;
		$function = $others->[-1];
	}
	next if $n eq '';
	push @{ $function->{ $mode eq 'i' ? 'in' : 'out' } },
	  { name => $argument, type => $type, default => $default };
}

my %relations;
foreach (rows(qq{
	select c.relname, c.relkind, obj_description(c.oid, 'pg_class'), a.attname, format_type(a.atttypid, a.atttypmod),
		a.attnotnull, replace(pg_get_expr(f.adbin, f.adrelid), n.nspname || '.', ''), col_description(c.oid, a.attnum)
	from $members
	join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relkind in ('r', 'v')
	join pg_namespace n on n.oid = c.relnamespace
	join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
	left join pg_attrdef f on f.adrelid = c.oid and f.adnum = a.attnum
	order by c.relname, a.attnum}))
{
	my ($name, $kind, $comment, @column) = @$_;

	push @{ $relations{$name}{columns} }, \@column;
	@{ $relations{$name} }{qw(kind comment)} = ($kind, $comment);
}

my @settings = rows(q{
	select name, coalesce(unit, ''),
		case
			when enumvals is not null then array_to_string(enumvals, ', ')
			when vartype = 'bool' then 'on, off'
			when vartype = 'string' then 'text'
			else min_val || ' to ' || max_val
		end,
		coalesce(nullif(boot_val, ''), 'empty'), context, concat_ws(' ', short_desc, extra_desc)
	from pg_settings
	where name like 'governance.%'
	order by name});

# ---------------------------------------------------------------- text

my $here = '';

sub anchor { return "#$_[0]" }

# Names as names, and what has a section as a link to it.
sub marked
{
	my ($text) = @_;

	$text =~ s/</&lt;/g;
	$text =~ s{(?<![\w.`])(gov_\w+)(?:\(\))?}{
		$1 ne $here && ($functions{$1} || $relations{$1}) ? "[$1](" . anchor($1) . ')' : "`$1`"}ge;
	$text =~ s/(?<![\w.`])(governance\.\w+|GV\d{3}\b)/`$1`/g;
	return $text;
}

sub sqlstates
{
	my ($text) = @_;

	$text =~ s/\b(?!GV)((?=[A-Z]*\d)[0-9A-Z]{5})\b/`$1`/g;
	return marked($text);
}

sub sentence
{
	my ($text) = @_;

	$text = ucfirst $text unless $text =~ /^gov_/;
	$text .= '.' unless $text =~ /[.:]$/;
	return $text;
}

sub short_type
{
	my ($type) = @_;

	$type =~ s/timestamp with time zone/timestamptz/;
	return $type;
}

sub wrapped
{
	my ($head, $parts, $tail) = @_;
	my ($line, @lines) = ($head);

	foreach my $i (0 .. $#$parts)
	{
		my $part = $parts->[$i] . ($i < $#$parts ? ',' : $tail);

		if (length("$line $part") > 100)
		{
			push @lines, $line;
			$line = '   ';
		}
		$line .= ($i == 0 ? '' : ' ') . $part;
	}
	return join "\n", @lines, @$parts ? $line : $head . $tail;
}

# "NAME, NAME: text; NAME: text" as pairs of names and text, for the names that there are.
sub pieces
{
	my ($text, @names) = @_;
	my $name = join '|', map { quotemeta } @names;
	my @pieces;

	return ([ '', $text ]) unless @names;
	foreach (split /; (?=(?:(?:$name)(?:, (?:$name))*(?:: |; |$))|the other columns )/, $text)
	{
		push @pieces, /^((?:$name)(?:, (?:$name))*)(?:: (.*))?$/ ? [ $1, $2 // '' ] : [ '', $_ ];
	}
	return @pieces;
}

# ---------------------------------------------------------------- functions

sub parsed
{
	my ($function) = @_;
	my ($about, $rest) = split /\n\n/, $function->{comment}, 2;
	my (@arguments, %keys);

	$about =~ s/\s+/ /g;
	$rest //= '';
	$rest =~ s/\n\s+/ /g;
	$rest =~ s/;$//gm;
	foreach (split /\n/, $rest)
	{
		if (/^(result|errors|since): (.*)$/) { $keys{$1} = $2; }
		else { push @arguments, $_; }
	}
	return (sentence($about), \@arguments, \%keys);
}

sub signature
{
	my ($name, $function) = @_;
	my @in = map {
		my $default = $_->{default};
		$default =~ s/::[\w ]+(?:\[\])?$//;
		my $shown = $_->{name} eq 'position' ? '"position"' : $_->{name};
		"$shown " . short_type($_->{type}) . ($default ne '' ? ' default ' . ($default =~ s/^NULL$/null/r) : '') } @{ $function->{in} };
	my @out = map { ($_->{name} eq 'position' ? '"position"' : $_->{name}) . ' ' . short_type($_->{type}) } @{ $function->{out} };
	my $call = wrapped("$name(", \@in, ')');
	my $rows = $function->{is_set} ? 'rows of ' : '';

	return $call . ' → ' . $rows . short_type($function->{returns}) unless @out;
	return "$call\n" . wrapped("  → $rows(", \@out, ')');
}

# The keys of an object, each with what is said of it in parentheses, make a list of their own.
sub item
{
	my ($names, $text) = @_;
	my $item = '- ' . join(', ', map { "`$_`" } split /, /, $names);

	if ($text =~ /^(.*, with the keys) (.*?)((?:; \w+ and \w+ are required on create)?; omitted keys keep their value)$/)
	{
		my ($before, $keys, $after) = ($1, $2, $3);
		$item .= ": $before below$after\n";
		foreach (split /, (?![^(]*\))/, $keys)
		{
			my ($key, $what) = /^(.*?)(?: \((.*)\))?$/;

			$item .= '  - ' . join(' or ', map { "`$_`" } split / or /, $key) . (defined $what ? ": $what" : '') . "\n";
		}
		return $item;
	}
	return $item . ($text ne '' ? ": $text" : '') . "\n";
}

sub arguments
{
	my ($name, $function, $lines, @known) = @_;
	my @names = map { $_->{name} } @{ $function->{in} };
	my %missing = map { $_ => 1 } @names;
	my $out = '';

	foreach (map { pieces($_, @names) } @$lines)
	{
		my ($names, $text) = @$_;

		delete @missing{ split /, /, $names };
		%missing = () if $text =~ /^arguments\b/;
		$out .= $names ne '' ? item($names, marked($text)) : '- ' . marked($text) . "\n";
	}
	delete @missing{@known};
	die "$name: the comment says nothing of " . join(', ', sort keys %missing) . "\n" if %missing;
	return $out eq '' ? '' : "$out\n";
}

sub result
{
	my ($function, $text) = @_;
	my @pieces = pieces($text, map { $_->{name} } @{ $function->{out} });
	my $out = "**Result:** ";

	if (@pieces == 1 && $pieces[0][0] eq '')
	{
		return $out . marked($text) . "\n\n";
	}
	$out .= $pieces[0][0] eq '' ? marked((shift @pieces)->[1]) . "\n\n" : "\n\n";
	$out .= $_->[0] ne '' ? item($_->[0], marked($_->[1])) : '- ' . marked($_->[1]) . "\n" foreach @pieces;
	$out =~ s/ +\n/\n/g;
	return "$out\n";
}

# What is said of a function; of one of the same name that has been shown the arguments are known.
sub described
{
	my ($name, $function, @known) = @_;
	my ($about, $arguments, $keys) = parsed($function);
	my $out = "```\n" . signature($name, $function) . "\n```\n\n" . sqlstates($about) . "\n\n";

	$out .= arguments($name, $function, $arguments, @known);
	$out .= result($function, $keys->{result}) if $keys->{result};
	$out .= "**Errors:**\n\n" . join('', map { "- " . sqlstates($_) . "\n" } split /; /, $keys->{errors}) . "\n" if $keys->{errors};
	$out .= "**Since:** $keys->{since}\n\n" if $keys->{since};
	return $out;
}

sub function
{
	my ($name) = @_;
	my $function = $functions{$name} or die "there is no function $name\n";
	my @known = map { $_->{name} } @{ $function->{in} };

	$here = $name;
	$function->{is_shown} = 1;
	return "#### $name\n\n" . join '', described($name, $function), map { described($name, $_, @known) } @{ $function->{others} // [] };
}

sub functions
{
	my @names = @_;
	my $out = "| function | what | since |\n| --- | --- | --- |\n";

	foreach my $name (@names)
	{
		die "there is no function $name\n" unless $functions{$name};
		my ($about, undef, $keys) = parsed($functions{$name});

		$here = $name;
		$about =~ s/(?<=\w)\. .*$/./;
		$out .= "| [$name](" . anchor($name) . ') | ' . marked($about) . ' | ' . ($keys->{since} // '1.0.0') . " |\n";
	}
	return "$out\n" . join '', map { function($_) } @names;
}

# ---------------------------------------------------------------- tables, views, settings

sub relation
{
	my ($name) = @_;
	my $relation = $relations{$name} or die "there is no table or view $name\n";
	my $is_view = $relation->{kind} eq 'v';

	$here = $name;
	my $out = "#### $name\n\n" . ($is_view ? 'A view: ' . marked("$relation->{comment}.") : marked(sentence($relation->{comment}))) . "\n\n";

	$out .= $is_view ? "| column | type | what |\n| --- | --- | --- |\n"
	  : "| column | type | null | default | what |\n| --- | --- | --- | --- | --- |\n";
	foreach (@{ $relation->{columns} })
	{
		my ($column, $type, $is_not_null, $default, $comment) = @$_;

		die "$name.$column has no comment\n" if $comment eq '';
		$default =~ s/::[\w ]+(?:\[\])?(?=$|\))//g;
		$comment = marked($comment) =~ s/\|/\\|/gr;
		$out .= "| `$column` | `" . short_type($type) . '` | '
		  . ($is_view ? '' : ($is_not_null eq 't' ? 'no' : 'yes') . ' | ' . ($default ne '' ? "`$default`" : '') . ' | ')
		  . "$comment |\n";
	}
	$relation->{is_shown} = 1;
	return "$out\n";
}

sub settings
{
	my $out = "| name | unit | values | default | context | what |\n| --- | --- | --- | --- | --- | --- |\n";

	$here = '';
	die "governance is not loaded at server start\n" unless grep { $_->[0] eq 'governance.cache_size' } @settings;
	foreach (@settings)
	{
		my ($name, $unit, $values, $default, $context, $what) = @$_;

		$out .= "| `$name` | $unit | $values | $default | $context | " . marked($what) . " |\n";
	}
	return $out =~ s/\|  \|/| |/gr;
}

# ---------------------------------------------------------------- the document

open my $in, '<', "$FindBin::RealBin/reference.in" or die "reference.in: $!\n";
my $document = do { local $/; <$in> };

$document =~ s/^\{\{(\w+)\s*([^}]*)\}\}\n/
	my ($what, @names) = ($1, split ' ', $2);
	$what eq 'functions' ? functions(@names)
	  : $what eq 'relations' ? join('', map { relation($_) } @names)
	  : $what eq 'settings' ? settings() : die "reference.in: $what\n"/gme;
foreach my $all (\%functions, \%relations)
{
	my @left = grep { !$all->{$_}{is_shown} } sort keys %$all;

	die 'docs/reference.in does not ask for ' . join(', ', @left) . "\n" if @left;
}
$document =~ s/\n{3,}/\n\n/g;
$document =~ s/\n+\z/\n/;
print $document;

after.note = after.note.toLowerCase();
return after;
